-- Publish a message to the connected instances, and keep it for those that connect later.
--
-- KEYS[1]  the hash of the messages in force; also the name of the channel
-- ARGV     its subject, the message, ms for which it holds (0 = it ends something)
-- Published as "<ms> <message>", kept as "<Unix time in ms when it ends> <message>". A kept message
-- is never shortened: several instances may have a cooldown of their own for one endpoint.

local KEEP_MS = 3600000   -- the hash expires an hour after the last message

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
