-- The gate that somebody would write by hand in nginx: the same checks on the hot way, and nothing for
-- the cold one. Tokens come from a file, because the rows of the table ask for cached ones.
local ffi = require 'ffi'
local lrucache = require 'resty.lrucache'
local redis = require 'nginx.redis'

ffi.cdef [[
unsigned char *SHA256(const unsigned char *d, size_t n, unsigned char *md);
typedef struct evp_md_st EVP_MD;
const EVP_MD *EVP_sha256(void);
unsigned char *HMAC(const EVP_MD *md, const void *key, int key_len, const unsigned char *d, size_t n,
  unsigned char *out, unsigned int *out_len);
]]
local crypto = ffi.load('libcrypto.so.3')
local digest = ffi.new('unsigned char[32]')
local length = ffi.new('unsigned int[1]')

local function sha256(text)
  crypto.SHA256(text, #text, digest)
  return ffi.string(digest, 32)
end

local function hmac(key, text)
  crypto.HMAC(crypto.EVP_sha256(), key, #key, text, #text, digest, length)
  return ffi.string(digest, 32)
end

local function hex(bytes)
  return (bytes:gsub('.', function(c) return string.format('%02x', c:byte()) end))
end

local M = {}
local rows = lrucache.new(20000)
local windowMs = 300000
local redisPort

-- Exact paths first, then patterns: as one would write it.
local exact = {
  ['GET /api/scans'] = 'scans:read',
  ['GET /api/scans/dashboard'] = 'scans:read',
  ['GET /api/drifts'] = 'drifts:read',
  ['GET /api/repo-configs'] = 'repos:read',
  ['GET /api/runners'] = 'runners:read'
}
local patterns = {
  { 'GET', [[^/api/repo-configs/[^/]+$]], 'repos:read' },
  { 'GET', [[^/api/drifts/[^/]+$]], 'drifts:read' },
  { 'GET', [[^/api/runners/[^/]+$]], 'runners:read' },
  { 'POST', [[^/api/scans/trigger/[^/]+$]], 'scans:trigger' },
  { 'POST', [[^/api/scans/[^/]+/cancel$]], 'scans:trigger' },
  { 'GET', [[^/api/scans/repository/[^/]+$]], 'scans:read' },
  { 'GET', [[^/api/scans/[^/]+/details$]], 'scans:read' },
  { 'GET', [[^/api/scans/[^/]+$]], 'scans:read' }
}

-- `file`: a token a line, with its scopes, user and id behind it.
function M.setUp(file, port)
  redisPort = port
  for line in io.lines(file) do
    local token, id, user, scopes = line:match('^(%S+) (%S+) (%S+) (%S+)$')
    local held = {}
    for scope in scopes:gmatch('[^,]+') do held[scope] = true end
    rows:set(sha256(token), { id = id, user = user, scopes = scopes, held = held })
  end
end

local function refuse(status, message)
  ngx.status = status
  ngx.header.content_type = 'application/json'
  ngx.print('{"message":"' .. message .. '"}')
  return ngx.exit(status)
end

local function needed(method, path)
  local scope = exact[method .. ' ' .. path]
  if scope then return scope end
  for i = 1, #patterns do
    local rule = patterns[i]
    if rule[1] == method and ngx.re.find(path, rule[2], 'jo') then return rule[3] end
  end
end

local function isFresh(timestamp)
  if not timestamp or not ngx.re.find(timestamp, '^[0-9]{13}$', 'jo') then return false end
  return math.abs(ngx.now() * 1000 - tonumber(timestamp)) <= windowMs
end

-- Gives what is wrong, or nothing.
local function checkSignature(token, row, headers, method)
  local signature, timestamp, nonce = headers['x-cli-signature'], headers['x-cli-timestamp'], headers['x-cli-nonce']
  if not (signature and timestamp and nonce) then return 'Incomplete signature headers' end
  if not isFresh(timestamp) then return 'Timestamp outside the window' end
  if not ngx.re.find(nonce, [[^[\w.~+/=-]{1,128}$]], 'jo') then return 'Malformed nonce' end
  ngx.req.read_body()
  local body = ngx.req.get_body_data() or ''
  local text = timestamp .. ':' .. nonce .. ':' .. method .. ':' .. ngx.var.request_uri .. ':' .. hex(sha256(body))
  if hex(hmac(token, text)) ~= signature:lower() then return 'Signature mismatch' end
  local client = redis:new()
  client:set_timeout(250)
  if not client:connect('127.0.0.1', redisPort) then return ngx.exit(503) end
  local said, err = client:set('lua:' .. row.id .. ':' .. nonce, '1', 'NX', 'PX', windowMs * 2)
  if err then return ngx.exit(503) end
  client:set_keepalive(60000, 64)
  if said == ngx.null then return 'Nonce already used' end
end

function M.check()
  local method, path = ngx.req.get_method(), ngx.var.uri
  local scope = needed(method, path)
  if not scope then return refuse(403, 'Access denied') end
  local headers = ngx.req.get_headers()
  local authorization = headers['authorization']
  if type(authorization) ~= 'string' then return refuse(401, 'No token provided') end
  local token = ngx.re.match(authorization, [[^Bearer (ci_[0-9A-Za-z]{36})$]], 'joi')
  if not token then return refuse(401, 'Invalid token') end
  token = token[1]
  local row = rows:get(sha256(token))
  if not row or (row.expires and row.expires < ngx.now()) then
    return refuse(401, 'Invalid or expired CLI token')
  end
  if not row.held[scope] then return refuse(403, 'Insufficient permissions') end
  local isSigned = headers['x-cli-signature'] or headers['x-cli-timestamp'] or headers['x-cli-nonce']
  if isSigned then
    local wrong = checkSignature(token, row, headers, method)
    if wrong then return refuse(401, 'Request signature verification failed') end
  end
  for name in pairs(headers) do
    if name:find('^x%-ci[-_]') or name:find('^x%-cli%-') then ngx.req.clear_header(name) end
  end
  ngx.req.clear_header('authorization')
  ngx.req.set_header('x-ci-auth', 'cli-token')
  ngx.req.set_header('x-ci-user-id', row.user)
  ngx.req.set_header('x-ci-token-id', row.id)
  ngx.req.set_header('x-ci-scopes', row.scopes)
  ngx.req.set_header('x-ci-repositories', '*')
  ngx.req.set_header('x-ci-signed', isSigned and 'true' or 'false')
  ngx.req.set_header('x-forwarded-for', ngx.var.remote_addr)
end

return M
