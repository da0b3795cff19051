-- wrk: POSTs that were signed before the round, each sent once. A line of the file is timestamp, nonce
-- and signature; what has no line left is sent unsigned and counts as failed by its 401.
local lines, next_line = {}, 0

function init(args)
  local file = io.open(args[1])
  token = file:read('*l')
  body = file:read('*l')
  for line in file:lines() do lines[#lines + 1] = line end
end

function request()
  next_line = next_line + 1
  local headers = { ['authorization'] = 'Bearer ' .. token, ['content-type'] = 'application/json' }
  local line = lines[next_line]
  if line then
    local timestamp, nonce, signature = line:match('^(%S+) (%S+) (%S+)$')
    headers['x-cli-timestamp'], headers['x-cli-nonce'], headers['x-cli-signature'] = timestamp, nonce, signature
  end
  return wrk.format('POST', nil, headers, body)
end
