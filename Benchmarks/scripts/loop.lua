-- Tables, strings, closures and floating point in Lua. Usage: lua loop.lua N
local n = tonumber(arg[1])
local words, sum = {}, 0
for i = 1, n do
    local key = "k" .. (i * 7919 % 1009)
    words[key] = (words[key] or 0) + i % 13
end
local keys = {}
for key in pairs(words) do keys[#keys + 1] = key end
table.sort(keys, function(a, b) return words[a] ~= words[b] and words[a] < words[b] or words[a] == words[b] and a < b end)
for i, key in ipairs(keys) do sum = sum + i * words[key] end
local function fib(k) if k < 2 then return k end return fib(k - 1) + fib(k - 2) end
local x = 0.0
for i = 1, n do x = x + math.sqrt(i) / (i + 1) end
local text = string.rep("guise runs guests. ", 50)
local count = 0
for _ = 1, n // 2000 do for _ in text:gmatch("gu%a+") do count = count + 1 end end
print("lua", n, sum, fib(20 + (n > 100000 and 4 or 0)), string.format("%.6f", x), count, keys[1])
