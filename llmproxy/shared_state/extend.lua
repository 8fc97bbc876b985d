-- Extend a lease, unless it is another's by now.
--
-- KEYS[1]  the lease
-- ARGV     its holder, ms for which it holds from now on

if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
