-- Two kinds of requests for wrk, run by scripts/reshard: "fill" writes every key once, each thread its part of them, and stops; "mixed" reads
-- and writes random ones, four to one, with the newest metadata. Statuses are counted here and printed by done() as one line of JSON.

local threads = {}

function setup(thread)
  thread:set("id", #threads)
  table.insert(threads, thread)
end

function init(args)
  kind = args[1]
  keys = tonumber(args[2])
  of = tonumber(args[3])
  math.randomseed(id * 7919 + 1)
  next_key = id
  answered = 0
  metadata = "null"
  by_status = {}
  value = string.rep("x", 94)
end

local HEADERS = { ["Content-Type"] = "application/json" }

local function put(n)
  local body = '{"value":"' .. string.format("%06d", n % 1000000) .. value .. '","causal-metadata":' .. metadata .. "}"
  return wrk.format("PUT", "/kvs/key-" .. n, HEADERS, body)
end

function request()
  if kind == "fill" then
    local n = next_key
    -- Once all are written the last one is written again, until the answers are here.
    if next_key + of < keys then
      next_key = next_key + of
    end
    return put(n)
  end
  local n = math.random(keys) - 1
  if math.random(5) == 1 then
    return put(n)
  end
  return wrk.format("GET", "/kvs/key-" .. n, HEADERS, '{"causal-metadata":' .. metadata .. "}")
end

function response(status, headers, body)
  by_status[status] = (by_status[status] or 0) + 1
  answered = answered + 1
  if kind == "mixed" then
    metadata = string.match(body, '"causal%-metadata":(%b{})') or metadata
  elseif answered > keys / of + 1000 then
    wrk.thread:stop()
  end
end

function done(summary, latency, requests)
  local statuses = {}
  for _, thread in ipairs(threads) do
    for status, times in pairs(thread:get("by_status")) do
      statuses[status] = (statuses[status] or 0) + times
    end
  end
  local parts = {}
  for status, times in pairs(statuses) do
    table.insert(parts, string.format('"%d":%d', status, times))
  end
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%.3f,"p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f,"socket_errors":%d,"statuses":{%s}}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    errors.connect + errors.read + errors.write + errors.timeout, table.concat(parts, ",")))
end
