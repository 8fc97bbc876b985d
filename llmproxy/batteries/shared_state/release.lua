-- Release a lock, unless another instance holds it by now.
--
-- KEYS[1]  the lock
-- ARGV     its holder

if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
