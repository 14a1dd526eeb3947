-- The mix of requests of a site with many infrastructures, for wrk. Arguments: a file with the ids, one a line; the header
-- with the credentials.
local ids = {}
local auth
local shares = {
  { 55, "GET", "/vms/" },
  { 25, "GET", "/state" },
  { 10, "GET", "" },
  { 5, "GET", nil },
  { 1.5, "GET", "/contmsg" },
  { 1.5, "GET", "/radl" },
  { 1, "PUT", "/vms/" },
  { 1, "PUT", "/reboot" },
}

function init(arguments)
  for line in io.lines(arguments[1]) do
    ids[#ids + 1] = line
  end
  auth = arguments[2]
  math.randomseed(1)
end

function request()
  local id = "/infrastructures/" .. ids[math.random(#ids)]
  local machine = math.random(3) - 1
  local roll = math.random() * 100
  for _, share in ipairs(shares) do
    roll = roll - share[1]
    if roll < 0 or share == shares[#shares] then
      local method, what, body = share[2], share[3], nil
      local path = "/infrastructures"
      if what == "/vms/" then
        path = id .. what .. machine
        body = method == "PUT" and "system node ( memory.size = 1g )" or nil
      elseif what == "/reboot" then
        path = id .. "/vms/" .. machine .. what
      elseif what then
        path = id .. what
      end
      local headers = { ["Authorization"] = auth }
      if body then
        headers["Content-Type"] = "text/plain"
      end
      return wrk.format(method, path, headers, body)
    end
  end
end

function done(summary, latency)
  local errors = summary.errors
  local failures = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(95), latency:percentile(99), failures))
end
