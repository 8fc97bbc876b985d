-- Return the messages in force, as publish.lua published them: "<ms that are left> <message>".
--
-- KEYS[1]  the hash that publish.lua keeps

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local messages = {}
for _, kept in ipairs(redis.call('HVALS', KEYS[1])) do
  local till, message = kept:match('^(%d+) (.*)$')
  if till and tonumber(till) > now then
    messages[#messages + 1] = string.format('%.0f %s', tonumber(till) - now, message)
  end
end
return messages
