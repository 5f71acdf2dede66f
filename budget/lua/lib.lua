-- First part of the head that scripts.py puts before every script: names, time, text. All keys live under one version
-- prefix (put in by scripts.py), so scripts of two versions never touch each other's keys. Time is Redis TIME only: no caller's clock counts.
-- Redis builds every function of a script anew at every run, so grant.lua, which runs for every call, takes only the first two
-- parts at once. Constants (in capitals) are put in by scripts.py. `text + 0` is a number in half the time of tonumber(text).
local P = 'prefix'
local Q = 'rq:queue:'
local call = redis.call

local function clock_us()
  local t = call('TIME')
  return t[1] * 1000000 + t[2]
end

-- Microseconds (or any whole number) as text that Python's int() reads; Redis itself may write 1e+15.
local format = string.format
local function whole(number)
  return format('%d', number)
end

-- Virtual time as text that reads back as the same number: one call of a tenant of weight 1 is 1.
local function exact(number)
  return format('%.17g', number)
end

-- An attempt's id as Python prints it. Anybody can enqueue anything; what reaches our own keys has this form.
local ATTEMPT = '^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$'
local function is_attempt(id)
  return #id == 36 and string.find(id, ATTEMPT) ~= nil and id == string.lower(id)
end
