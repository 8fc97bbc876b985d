-- What is news now, as it would have been told: "<ms for which it is still true> <news>" each.
--
-- KEYS[1]  the hash that news.lua keeps

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local told = {}
for _, kept in ipairs(redis.call('HVALS', KEYS[1])) do
  local till, news = kept:match('^(%d+) (.*)$')
  if till and tonumber(till) > now then
    told[#told + 1] = string.format('%.0f %s', tonumber(till) - now, news)
  end
end
return told
