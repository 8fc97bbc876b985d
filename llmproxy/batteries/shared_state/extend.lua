-- Extend a lock, unless another instance holds it by now.
--
-- KEYS[1]  the lock
-- ARGV     its holder, ms until it expires

if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
