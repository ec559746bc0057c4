-- Mixed load for wrk, run by scripts/load: half GET, four tenths PUT, one tenth DELETE over a set of
-- keys. Each thread passes on the newest causal metadata that it got, as a client does. Statuses are
-- counted here, as wrk itself knows only "above 399", and printed by done() as one line of JSON.

local threads = {}

-- wrk, once per thread, in wrk's own state.
function setup(thread)
  thread:set("id", #threads + 1)
  table.insert(threads, thread)
end

-- From here to response() the code runs in the thread's state.
function init(args)
  keys = tonumber(args[1]) or 10000
  math.randomseed(id * 7919 + (tonumber(args[2]) or 1))
  metadata = "null"
  by_status = {}
end

local HEADERS = { ["Content-Type"] = "application/json" }

function request()
  local path = "/kvs/load-" .. math.random(keys)
  local draw = math.random(10)
  if draw <= 5 then
    return wrk.format("GET", path, HEADERS, '{"causal-metadata":' .. metadata .. "}")
  elseif draw <= 9 then
    local value = '{"value":"' .. math.random(1000000) .. '","causal-metadata":' .. metadata .. "}"
    return wrk.format("PUT", path, HEADERS, value)
  end
  return wrk.format("DELETE", path, HEADERS, '{"causal-metadata":' .. metadata .. "}")
end

function response(status, headers, body)
  by_status[status] = (by_status[status] or 0) + 1
  metadata = string.match(body, '"causal%-metadata":(%b{})') or metadata
end

-- wrk's own state again, once, after the last answer.
function done(summary, latency, requests)
  local total = {}
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("by_status")) do
      total[status] = (total[status] or 0) + count
    end
  end
  local statuses = {}
  for status, count in pairs(total) do
    table.insert(statuses, string.format('"%d":%d', status, count))
  end
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%.3f,"socket_errors":%d,"p50_ms":%.2f,"p99_ms":%.2f,"max_ms":%.2f,"statuses":{%s}}\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    table.concat(statuses, ",")))
end
