-- What all instances have spent of budgets, and what each of them holds. ledger.py is the other side.
--
-- KEYS[1]   the live instances, by the time of their last request
-- KEYS[2..] a hash for each budget and period: s spent; by instance: o<name> its own part of it as
--           last told, h<name> what it holds, t<name> when it was heard last; w when one was short
-- ARGV      the instance's name, how many instances it knows; then for each budget: ms until the
--           hash expires, then amount, known, own, own_before, keeps, wants, short
-- Reply     instances; then for each budget: spent, held, held by others, 1 = one is short
--
-- Example: 100 left, one other instance holds 40. A request to hold 70 gets 60.

local PRESENT_MS = 3000   -- an instance that is silent for longer is gone
local HOLDS_MS = 30000    -- and after so long, what it held can be spent by others
local SHORT_MS = 500

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local me = ARGV[1]

redis.call('ZADD', KEYS[1], now, me)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - PRESENT_MS)
redis.call('PEXPIRE', KEYS[1], PRESENT_MS)
local answers = { redis.call('ZCARD', KEYS[1]) }

local function held_by_others(hash)
  local others = 0
  for field, value in pairs(hash) do
    local kind, name = field:sub(1, 1), field:sub(2)
    if kind == 'h' and name ~= me and now - tonumber(hash['t' .. name] or 0) < HOLDS_MS then
      others = others + tonumber(value)
    end
  end
  return others
end

local function whole(number)
  return string.format('%.0f', number)
end

for i = 2, #KEYS do
  local key, at = KEYS[i], 3 + (i - 2) * 8
  local keep_ms, amount, known, own, own_before, keeps, wants, short =
    tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]),
    tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6]), ARGV[at + 7] == '1'
  local hash, list = {}, redis.call('HGETALL', key)
  for place = 1, #list, 2 do hash[list[place]] = list[place + 1] end
  local told = tonumber(hash['o' .. me] or own_before)
  local spent = math.max(tonumber(hash.s or 0), known) + math.max(0, own - told)
  local others = held_by_others(hash)
  local held = keeps + math.max(0, math.min(wants - keeps, amount - spent - others - keeps))
  local is_short = now - tonumber(hash.w or 0) < SHORT_MS
  local fields = { 's', whole(spent), 'o' .. me, whole(own), 'h' .. me, whole(held), 't' .. me, now }
  if short and held < wants and others > 0 then
    is_short = true
    fields[#fields + 1], fields[#fields + 2] = 'w', now
  end
  redis.call('HSET', key, unpack(fields))
  redis.call('PEXPIRE', key, keep_ms)
  for _, value in ipairs({ spent, held, others }) do answers[#answers + 1] = value end
  answers[#answers + 1] = is_short and 1 or 0
end
return answers
