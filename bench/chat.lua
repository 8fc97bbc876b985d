-- wrk's part: one POST with the body of the file that is named after `--` and the key behind it, and
-- one line of figures at the end: requests, duration (us), p50 (us), p99 (us), errors of every kind.
-- With `new` after the key every request asks something new: its first field is a seed that was not
-- there before.
local rest, seed

function init(args)
   local file = assert(io.open(args[1], "rb"))
   wrk.method = "POST"
   wrk.body = file:read("*a")
   wrk.headers["content-type"] = "application/json"
   wrk.headers["accept"] = "application/json"
   wrk.headers["user-agent"] = "OpenAI/Python 3.54.0"
   wrk.headers["authorization"] = "Bearer " .. args[2]
   file:close()
   if args[3] == "new" then
      rest = wrk.body:sub(2)
      seed = os.time() * 1000000
      request = new
   end
end

function new()
   seed = seed + 1
   return wrk.format(nil, nil, nil, string.format('{"seed":%d,', seed) .. rest)
end

function done(summary, latency, _)
   local e = summary.errors
   io.write(string.format("FIGURES %d %d %d %d %d\n", summary.requests, summary.duration,
      latency:percentile(50), latency:percentile(99),
      e.connect + e.read + e.write + e.status + e.timeout))
end
