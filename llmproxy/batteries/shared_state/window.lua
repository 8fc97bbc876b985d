-- The shared window: what was granted to all instances in the last minute, counted in slots.
--
-- KEYS[1]   the live instances, by the time of their last request
-- KEYS[2..] one window per key, as a hash: e epoch, n newest slot, r and t totals, r<i> and t<i> the
--           slots in a ring, c the claim of the instance that was refused first
-- ARGV      time in ms ('' = this server's), ms of a slot, slots of a window, the instance's name,
--           1 = count the instances; then for each window: rpm, tpm (-1 = no limit), burst requests
--           and slots (0 = no limit), instances that share it, epoch, 1 = a call is waiting, requests
--           and tokens needed, requests and tokens wanted, number of usage reports, and for each
--           report: age in slots, requests, tokens
-- Reply     instances (-1 = not counted); then for each window: epoch, 1 = lost, requests and
--           tokens granted, 1 = capacity is left, ms to wait after a refusal
--
-- Example: rpm 600, 590 in the window, 2 instances. A request for 20 is granted 5: half of what is
-- left. A request that needs 11 is refused, with the ms until enough slots have expired.
--
-- The cost does not depend on how much a window contains: totals are kept, and a slot is read again
-- only when it expires. Everything is read first and written in one step at the end, so that a
-- server that is out of memory or read-only refuses all of it.

local PRESENT_MS = 3000   -- an instance that is silent for longer is gone
local CLAIM_MS = 300      -- the instance that was refused first is served first, if it keeps asking
local CLOCK_BACK = 8      -- if the clock is set back by more slots, the window starts anew

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local slot_ms, slots, me = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local slot = math.floor(now / slot_ms)
local next_arg = 6

local function take()
  next_arg = next_arg + 1
  return ARGV[next_arg - 1]
end

local function take_number()
  return tonumber(take())
end

local function take_request()
  local request = {
    rpm = take_number(), tpm = take_number(),
    burst = take_number(), burst_slots = take_number(),
    instances = take_number(), epoch = take(), waiting = take() == '1',
    need_r = take_number(), need_t = take_number(),
    want_r = take_number(), want_t = take_number(),
    reports = {},
  }
  for i = 1, take_number() do
    request.reports[i] = { age = take_number(), r = take_number(), t = take_number() }
  end
  return request
end

-- Return the window, with the slots that have expired since it was written.
local function open_window(key)
  local head = redis.call('HMGET', key, 'e', 'n', 'r', 't', 'c')
  local newest = tonumber(head[2])
  local window = { key = key, epoch = head[1], claim = head[5], expired = {} }
  if not newest or newest - slot > CLOCK_BACK then
    window.epoch, window.claim = now .. '.' .. me, false
    window.empty, window.newest, window.r, window.t = true, slot, 0, 0
    return window
  end
  window.newest = math.max(newest, slot)
  window.r, window.t = tonumber(head[3]), tonumber(head[4])
  if window.newest - newest >= slots then
    window.empty, window.r, window.t = true, 0, 0
    return window
  end
  for number = newest + 1, window.newest do
    window.expired[number % slots] = true
  end
  return window
end

-- Read the slots that this request touches, once, and subtract the expired ones.
local function read_slots(window, request)
  local touched = { [window.newest % slots] = true }
  for i in pairs(window.expired) do touched[i] = true end
  for _, report in ipairs(request.reports) do
    if report.age < slots then touched[(window.newest - report.age) % slots] = true end
  end
  for age = 0, request.burst_slots - 1 do touched[(window.newest - age) % slots] = true end
  local order, fields = {}, {}
  for i in pairs(touched) do
    order[#order + 1] = i
    fields[#fields + 1] = 'r' .. i
    fields[#fields + 1] = 't' .. i
  end
  local values = window.empty and {} or redis.call('HMGET', window.key, unpack(fields))
  window.slots = {}
  for place, i in ipairs(order) do
    local r, t = tonumber(values[2 * place - 1] or 0), tonumber(values[2 * place] or 0)
    if window.expired[i] then
      window.r, window.t = window.r - r, window.t - t
      r, t = 0, 0
    end
    window.slots[i] = { r = r, t = t }
  end
end

local function add(window, age, r, t)
  local at = window.slots[(window.newest - age) % slots]
  at.r, at.t = at.r + r, at.t + t
  window.r, window.t = window.r + r, window.t + t
end

-- Return the requests and tokens that may be granted to this instance.
local function free(window, request)
  local r = request.rpm < 0 and math.huge or request.rpm - window.r
  local t = request.tpm < 0 and math.huge or request.tpm - window.t
  if request.burst > 0 then
    local recent = 0
    for age = 0, request.burst_slots - 1 do
      recent = recent + window.slots[(window.newest - age) % slots].r
    end
    window.bursts = request.burst - recent < math.min(r, request.need_r)
    r = math.min(r, request.burst - recent)
  end
  if window.claim and window.claim ~= '' then
    local till, claimed_r, claimed_t, claimant = window.claim:match('^(%d+) (%d+) (%d+) (.*)$')
    if tonumber(till) <= now then
      window.claim = ''
    elseif claimant ~= me then
      window.others_claim = true
      r, t = r - tonumber(claimed_r), t - tonumber(claimed_t)
    end
  end
  return r, t
end

-- Return an equal part of what is left, but at least one call's need.
local function fair_part(request, free, need, want)
  return math.max(0, math.min(want, free, math.max(need, math.ceil(free / request.instances))))
end

local function write(window)
  local fields = { 'e', window.epoch, 'n', window.newest, 'r', window.r, 't', window.t,
    'c', window.claim or '' }
  for i, at in pairs(window.slots) do
    fields[#fields + 1] = 'r' .. i
    fields[#fields + 1] = at.r
    fields[#fields + 1] = 't' .. i
    fields[#fields + 1] = at.t
  end
  if window.empty then redis.call('DEL', window.key) end
  redis.call('HSET', window.key, unpack(fields))
  redis.call('PEXPIRE', window.key, (slots + CLOCK_BACK) * slot_ms)
end

-- Return the ms until this much more has expired.
local function wait_ms(window, short_r, short_t)
  local first, step = window.newest - slots + 1, 8
  while first <= window.newest do
    local last, fields = math.min(first + step - 1, window.newest), {}
    for number = first, last do
      fields[#fields + 1] = 'r' .. number % slots
      fields[#fields + 1] = 't' .. number % slots
    end
    local values = redis.call('HMGET', window.key, unpack(fields))
    for number = first, last do
      local place = 2 * (number - first)
      short_r = short_r - tonumber(values[place + 1] or 0)
      short_t = short_t - tonumber(values[place + 2] or 0)
      if short_r <= 0 and short_t <= 0 then return (number + slots) * slot_ms - now end
    end
    first, step = last + 1, step * 2
  end
  return slots * slot_ms
end

local function answer(key, request)
  local window = open_window(key)
  local lost = request.epoch ~= '' and request.epoch ~= window.epoch
  if lost then request.reports, request.want_r, request.want_t = {}, 0, 0 end
  read_slots(window, request)
  for _, report in ipairs(request.reports) do
    if report.age < slots then add(window, report.age, report.r, report.t) end
  end
  local free_r, free_t = free(window, request)
  local asked = request.want_r > 0 or request.want_t > 0
  local refused = asked and (free_r < request.need_r or free_t < request.need_t)
  local granted_r, granted_t = 0, 0
  if asked and not refused then
    granted_r = fair_part(request, free_r, request.need_r, request.want_r)
    granted_t = fair_part(request, free_t, request.need_t, request.want_t)
    add(window, 0, granted_r, granted_t)
    if not window.others_claim then window.claim = '' end
  elseif refused and request.waiting and not window.others_claim then
    window.claim = (now + CLAIM_MS) .. ' ' .. request.need_r .. ' ' .. request.need_t .. ' ' .. me
  end
  write(window)
  local wait = 0
  if refused then
    wait = window.bursts and slot_ms or wait_ms(window, request.need_r - free_r, request.need_t - free_t)
  end
  local has_room = not lost and free_r > granted_r and free_t > granted_t
  return window.epoch, lost and 1 or 0, granted_r, granted_t, has_room and 1 or 0, wait
end

local answers = { -1 }
if ARGV[5] == '1' then
  redis.call('ZADD', KEYS[1], now, me)
  redis.call('PEXPIRE', KEYS[1], PRESENT_MS)
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - PRESENT_MS)
  answers[1] = redis.call('ZCARD', KEYS[1])
end
for i = 2, #KEYS do
  local epoch, lost, r, t, has_room, wait = answer(KEYS[i], take_request())
  for _, value in ipairs({ epoch, lost, r, t, has_room, wait }) do answers[#answers + 1] = value end
end
return answers
