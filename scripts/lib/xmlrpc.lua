-- Calls of GetInfrastructureState for wrk. Argument: the body of the call.
local body

function init(arguments)
  body = arguments[1]
end

function request()
  return wrk.format("POST", "/RPC2", { ["Content-Type"] = "text/xml" }, body)
end

function response(status, headers, text)
  -- Both answer 200 for what they refuse.
  if not text:find("vm_states", 1, true) then
    io.stderr:write(text)
    os.exit(1)
  end
end

function done(summary, latency)
  local errors = summary.errors
  local failures = errors.connect + errors.write + errors.status + errors.timeout
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(95), latency:percentile(99), failures))
end
