-- News of an endpoint: kept for those who come later, and told at once to those who are here.
--
-- KEYS[1]  the hash of what is news now; also the name of the channel
-- ARGV     what it is about, the news, ms for which it is true (0 = it is over)
-- Told as "<ms> <news>", kept as "<time in ms when it is over> <news>". What is kept is never
-- shortened: several instances may be told to wait, each for its own time.

local KEEP_MS = 3600000   -- longer than any news is true

local ms = tonumber(ARGV[3])
if ms > 0 then
  local time = redis.call('TIME')
  local till = time[1] * 1000 + math.floor(time[2] / 1000) + ms
  local kept = redis.call('HGET', KEYS[1], ARGV[1])
  if not kept or tonumber(kept:match('^%d+')) < till then
    redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', till, ARGV[2]))
    redis.call('PEXPIRE', KEYS[1], KEEP_MS)
  end
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return redis.call('PUBLISH', KEYS[1], ARGV[3] .. ' ' .. ARGV[2])
