-- Decides where each request goes. The proxy loads this file behind a table `data` that proxy-files.ts writes.
--
-- data.ports[id]      what is behind a port: hosts = listeners by host
-- listener            hosts = tables by host, or names = rules by server name (TLS)
-- by host             exact[name], wild[suffix] (.one: one label only), any
-- table               e = matches by exact path, r = by regular expression, p = by path prefix,
--                     l = those behind all prefixes but "/"; n = the longest prefix
-- match               m = method, h = headers, q = query, r = rule, p = length of the prefix
-- rule                b = backends with weights, f = filters, t = timeout in milliseconds, g = speaks gRPC
-- pattern             a deterministic automaton: it takes one step a byte, whatever the pattern

local byte, sub, lower, find = string.byte, string.sub, string.lower, string.find

local function automaton_matches(pattern, text)
  local classes, moves, width = pattern.c, pattern.t, pattern.k
  local state = 1
  for index = 1, #text do
    state = moves[(state - 1) * width + classes[byte(text, index) + 1]]
    if state == 0 then
      return false
    end
  end
  return pattern.a[state] == 1
end

local function value_matches(wanted, value)
  if wanted.x then
    return automaton_matches(wanted.x, value)
  end
  return wanted.v == value
end

local function unescape(text)
  text = text:gsub("+", " ")
  return (text:gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

-- The first value of each parameter.
local function parameters(query)
  local values = {}
  for pair in query:gmatch("[^&]+") do
    local name, value = pair:match("^([^=]*)=?(.*)$")
    name = unescape(name)
    if values[name] == nil then
      values[name] = unescape(value)
    end
  end
  return values
end

local function combined(headers, name)
  local values = headers[name]
  if values == nil then
    return nil
  end
  local all = values[0]
  local index = 1
  while values[index] ~= nil do
    all = all .. "," .. values[index]
    index = index + 1
  end
  return all
end

local function matches(request, match)
  if match.m and match.m ~= request.method then
    return false
  end
  if match.h then
    request.headers = request.headers or request.txn.http:req_get_headers()
    for _, wanted in ipairs(match.h) do
      local value = combined(request.headers, wanted.n)
      if value == nil or not value_matches(wanted, value) then
        return false
      end
    end
  end
  if match.q then
    request.parameters = request.parameters or parameters(request.txn.sf:query())
    for _, wanted in ipairs(match.q) do
      local value = request.parameters[wanted.n]
      if value == nil or not value_matches(wanted, value) then
        return false
      end
    end
  end
  return true
end

local function first(request, list)
  for index = 1, #list do
    if matches(request, list[index]) then
      return list[index]
    end
  end
  return nil
end

local function by_expression(request, list)
  for index = 1, #list do
    local match = list[index]
    if automaton_matches(match.x, request.path) and matches(request, match) then
      return match
    end
  end
  return nil
end

local function in_table(request, tables)
  local path = request.path
  local list = tables.e and tables.e[path]
  local found = list and first(request, list)
  if found then
    return found
  end
  if tables.r then
    found = by_expression(request, tables.r)
    if found then
      return found
    end
  end
  if tables.p then
    -- From the longest prefix down, segment by segment; what is longer than every prefix is not looked at.
    local last = #path
    if last > tables.n then
      last = tables.n + 1
      while last > 0 and byte(path, last) ~= 47 do
        last = last - 1
      end
      last = last - 1
    elseif byte(path, last) == 47 then
      last = last - 1
    end
    while last > 0 do
      list = tables.p[sub(path, 1, last)]
      found = list and first(request, list)
      if found then
        return found
      end
      while last > 0 and byte(path, last) ~= 47 do
        last = last - 1
      end
      last = last - 1
    end
  end
  if tables.l then
    found = by_expression(request, tables.l)
    if found then
      return found
    end
  end
  list = tables.p and tables.p[""]
  return list and first(request, list)
end

-- Calls `use` with what is known of a host, the most specific first, until it returns something.
local function by_host(hosts, host, use)
  local found = hosts.exact and hosts.exact[host]
  found = found and use(found)
  if found then
    return found
  end
  if hosts.wild then
    local dot = find(host, ".", 1, true)
    local labels = 1
    while dot do
      local under = hosts.wild[sub(host, dot + 1)]
      if under and (labels == 1 or not under.one) then
        found = use(under)
        if found then
          return found
        end
      end
      labels = labels + 1
      dot = find(host, ".", dot + 1, true)
    end
  end
  return hosts.any and use(hosts.any)
end

local function itself(value)
  return value
end

-- In turn by weight: exact over any stretch, not only on average.
local function choose(list)
  if #list == 1 then
    return list[1].w > 0 and list[1] or nil
  end
  local best, total = nil, 0
  for index = 1, #list do
    local each = list[index]
    if each.w > 0 then
      each.s = (each.s or 0) + each.w
      total = total + each.w
      if best == nil or each.s > best.s then
        best = each
      end
    end
  end
  if best then
    best.s = best.s - total
  end
  return best
end

-- What servers would make of dots in a path must be what is matched, or rules could be walked around.
local function plain_path(path)
  if not find(path, "/.", 1, true) and not find(path, "%%2[eE]") then
    return path
  end
  local text = path:gsub("%%2[eE]", ".")
  local kept = {}
  local ending = ""
  for segment in text:gmatch("/([^/]*)") do
    ending = ""
    if segment == ".." then
      kept[#kept] = nil
      ending = "/"
    elseif segment == "." then
      ending = "/"
    else
      kept[#kept + 1] = segment
    end
  end
  return "/" .. table.concat(kept, "/") .. (#kept > 0 and ending or "")
end

local function host_of(text)
  local host = lower(text)
  if byte(host, 1) == 91 then
    return host:match("^%[[^%]]*%]") or host
  end
  host = host:match("^([^:]*)")
  if byte(host, #host) == 46 then
    host = sub(host, 1, #host - 1)
  end
  return host
end

local phrases = {
  [301] = "Moved Permanently",
  [302] = "Found",
  [303] = "See Other",
  [307] = "Temporary Redirect",
  [308] = "Permanent Redirect",
  [204] = "No Content",
  [404] = "Not Found",
  [421] = "Misdirected Request",
  [500] = "Internal Server Error",
  [503] = "Service Unavailable",
}

local function answer(txn, status, headers)
  local reply = txn:reply()
  reply:set_status(status, phrases[status] or "Redirect")
  for _, header in ipairs(headers or {}) do
    reply:add_header(header[1], header[2])
  end
  if not headers then
    reply:add_header("content-type", "text/plain; charset=utf-8")
    reply:set_body(phrases[status] .. "\n")
  end
  txn:done(reply)
end

local function changed_path(change, path, match)
  if change.full then
    return change.full
  end
  local rest = sub(path, (match.p or 0) + 1)
  local front = change.prefix
  if rest == "" then
    return front == "" and "/" or front
  end
  if byte(rest, 1) ~= 47 then
    rest = "/" .. rest
  end
  if byte(front, #front) == 47 then
    front = sub(front, 1, #front - 1)
  end
  return front .. rest
end

local default_ports = { http = 80, https = 443 }

local function redirect(request, change, match)
  local txn, port = request.txn, request.port
  local scheme = change.scheme or (port.tls and "https" or "http")
  local host = change.host or request.host
  local number = change.port or (change.scheme and default_ports[change.scheme]) or port.number
  if number ~= default_ports[scheme] then
    host = host .. ":" .. number
  end
  local path = change.path and changed_path(change.path, request.path, match) or request.path
  local query = txn.sf:query()
  if query ~= "" then
    path = path .. "?" .. query
  end
  answer(txn, change.code, { { "location", scheme .. "://" .. host .. path } })
end

local function change_headers(http, side, change)
  for _, each in ipairs(change.s or {}) do
    http[side .. "_set_header"](http, each[1], each[2])
  end
  for _, each in ipairs(change.a or {}) do
    http[side .. "_add_header"](http, each[1], each[2])
  end
  for _, name in ipairs(change.d or {}) do
    http[side .. "_del_header"](http, name)
  end
end

local function origin_allowed(cors, origin)
  for _, each in ipairs(cors.o) do
    if each == "*" or each == origin then
      return true
    end
    -- "https://*.example.com"
    local star = find(each, "*", 1, true)
    if star then
      local front, back = sub(each, 1, star - 1), sub(each, star + 1)
      if #origin > #front + #back and sub(origin, 1, #front) == front and sub(origin, -#back) == back then
        return true
      end
    end
  end
  return false
end

local function cors_headers(cors, request)
  local origin = request.origin
  local headers = {}
  local any = cors.o[1] == "*" and not cors.k
  headers[1] = { "access-control-allow-origin", any and "*" or origin }
  if not any then
    headers[2] = { "vary", "origin" }
  end
  if cors.k then
    headers[#headers + 1] = { "access-control-allow-credentials", "true" }
  end
  return headers
end

-- A wildcard stands for itself only where no credentials are sent; otherwise what was asked for is named.
local function listed(values, asked, credentials)
  if values[1] == "*" then
    return credentials and (asked or "") or "*"
  end
  return table.concat(values, ", ")
end

-- True when the request was a question of the browser's and is answered.
local function cors_answers(request, cors)
  local txn = request.txn
  request.headers = request.headers or txn.http:req_get_headers()
  local origin = combined(request.headers, "origin")
  if origin == nil then
    return false
  end
  request.origin = origin
  local asked = combined(request.headers, "access-control-request-method")
  local allowed = origin_allowed(cors, origin)
  if request.method ~= "OPTIONS" or asked == nil then
    request.cors = allowed and cors or nil
    return false
  end
  local headers = {}
  if allowed then
    headers = cors_headers(cors, request)
    if cors.m then
      headers[#headers + 1] = { "access-control-allow-methods", listed(cors.m, asked, cors.k) }
    end
    if cors.h then
      local names = listed(cors.h, combined(request.headers, "access-control-request-headers"), cors.k)
      if names ~= "" then
        headers[#headers + 1] = { "access-control-allow-headers", names }
      end
    end
    headers[#headers + 1] = { "access-control-max-age", tostring(cors.x) }
  end
  answer(txn, 204, headers)
  return true
end

-- One of the servers of a backend that takes requests now.
local function server_of(name)
  local proxy = core.backends[name]
  local addresses = {}
  for _, server in pairs(proxy and proxy.servers or {}) do
    local status = server:get_stats().status
    if status == "UP" or status == "no check" then
      addresses[#addresses + 1] = server:get_addr()
    end
  end
  return #addresses > 0 and addresses[math.random(#addresses)] or nil
end

local mirrored = { GET = "get", HEAD = "head", POST = "post", PUT = "put", DELETE = "delete" }

local function mirror(txn, change)
  local method = mirrored[txn.sf:method()]
  local address = method and math.random() * change.of < change.share and server_of(change.b)
  if not address then
    return
  end
  local headers = {}
  for name, values in pairs(txn.http:req_get_headers()) do
    if name ~= "content-length" and name ~= "transfer-encoding" and name ~= "connection" then
      local list = {}
      for index, value in pairs(values) do
        list[index + 1] = value
      end
      headers[name] = list
    end
  end
  local query = txn.sf:query()
  local body = txn.sf:req_body()
  local call = {
    url = "http://" .. address .. txn.sf:path() .. (query ~= "" and "?" .. query or ""),
    headers = headers,
    timeout = 5000,
    body = body ~= "" and body or nil,
  }
  -- Nobody waits for the answer.
  core.register_task(function()
    local client = core.httpclient()
    client[method](client, call)
  end)
end

local function rewrite(request, change, match)
  if change.path then
    request.txn.http:req_set_path(changed_path(change.path, request.path, match))
  end
  if change.host then
    request.txn.http:req_set_header("host", change.host)
  end
end

-- True when the request is answered.
local function apply(request, filters, match)
  if filters.c and cors_answers(request, filters.c) then
    return true
  end
  if filters.r then
    redirect(request, filters.r, match)
    return true
  end
  if filters.h then
    change_headers(request.txn.http, "req", filters.h)
  end
  for _, each in ipairs(filters.m or {}) do
    request.mirrors[#request.mirrors + 1] = each
  end
  if filters.w then
    rewrite(request, filters.w, match)
  end
  if filters.a then
    request.answers[#request.answers + 1] = filters.a
  end
  return false
end

core.register_action("route", { "http-req" }, function(txn, id)
  local port = data.ports[id]
  local host = host_of(txn.sf:req_hdr("host"))
  local raw = txn.sf:path()
  local path = plain_path(raw)
  local request = { txn = txn, port = port, host = host, path = path, method = txn.sf:method(), answers = {}, mirrors = {} }
  local listener = by_host(port.hosts, host, itself)
  if port.tls then
    local name = lower(txn.f:ssl_fc_sni())
    if name ~= "" and by_host(port.hosts, name, itself) ~= listener then
      return answer(txn, 421)
    end
  end
  local match = listener and by_host(listener.hosts, host, function(tables)
    return in_table(request, tables)
  end)
  if not match then
    return answer(txn, 404)
  end
  local rule = data.rules[match.r]
  if path ~= raw then
    txn.http:req_set_path(path)
  end
  if rule.f and apply(request, rule.f, match) then
    return
  end
  local chosen = choose(rule.b)
  if chosen == nil or not chosen.b and not chosen.f then
    return answer(txn, rule.g and 503 or 500)
  end
  if chosen.f and apply(request, chosen.f, match) then
    return
  end
  if not chosen.b then
    return answer(txn, rule.g and 503 or 500)
  end
  if rule.t then
    txn:set_var("txn.timeout", rule.t)
  end
  if request.cors or #request.answers > 0 then
    txn:set_var("txn.answers", true)
  end
  if #request.mirrors > 0 then
    txn:set_var("txn.mirrors", true)
  end
  request.headers = nil
  txn:set_priv(request)
  txn:set_var("txn.backend", chosen.b)
end, 1)

core.register_action("mirror", { "http-req" }, function(txn)
  for _, each in ipairs(txn:get_priv().mirrors) do
    mirror(txn, each)
  end
end)

core.register_action("answer", { "http-res" }, function(txn)
  local request = txn:get_priv()
  for _, change in ipairs(request.answers) do
    change_headers(txn.http, "res", change)
  end
  local cors = request.cors
  if cors then
    for _, header in ipairs(cors_headers(cors, request)) do
      txn.http:res_set_header(header[1], header[2])
    end
    if cors.e then
      txn.http:res_set_header("access-control-expose-headers", listed(cors.e, nil, false))
    end
  end
end)

-- Connections: by the name that the client asks for.
core.register_action("connect", { "tcp-req" }, function(txn, id, kind)
  local port = data.ports[id]
  local name = lower(kind == "hello" and txn.f:req_ssl_sni() or txn.f:ssl_fc_sni())
  local listener = by_host(port.hosts, name, itself)
  if listener == nil then
    return
  end
  if listener.to and kind == "hello" then
    txn:set_var("txn.backend", listener.to)
    return
  end
  local rule = listener.names and by_host(listener.names, name, itself)
  local chosen = rule and choose(data.rules[rule.r].b)
  if chosen and chosen.b then
    txn:set_var("txn.backend", chosen.b)
  end
end, 2)
