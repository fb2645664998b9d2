/**
 * What happens in Redis in one step. All keys of a place have one hash tag, so that a cluster keeps them on one node:
 *
 *     {writ:<space>:<project>:<queue>}:stamp     epoch whose entries are complete here
 *                                     :building  epoch whose entries are being put in
 *                                     :entries   hash: run -> rank and handler, of what waits
 *                                     :later     sorted set: run, by its time
 *                                     :due:<h>   sorted set per handler: ranks, all with score 0, which sorts them as text
 *                                     :handlers  set: handlers that may have something due
 *                                     :out       stream: what was taken out to be claimed; its group `workers` knows by whom
 *                                     :seq       counter: ids of the stream
 *
 * Scripts get these keys in this order, the prefix of `:due:` as the last. Work that may run is read off the stream by a
 * consumer and acknowledged when its claim has committed; what a lost consumer leaves is claimed back by its idle time.
 */
export const keysOf = (tag: string): string[] =>
  ['stamp', 'building', 'entries', 'later', 'handlers', 'out', 'seq', 'due:'].map((name) => `{${tag}}:${name}`)

export const KEYS = 8

const shared = `
local stamp, building, entries, later, handlers, out, seq, due = unpack(KEYS)
local call = redis.call
local RANK = 56
local function stand(value)
  local handler = string.sub(value, RANK + 1)
  call('ZADD', due .. handler, 0, string.sub(value, 1, RANK))
  call('SADD', handlers, handler)
end
local function leave(run, value)
  call('ZREM', later, run)
  call('ZREM', due .. string.sub(value, RANK + 1), string.sub(value, 1, RANK))
end
-- What was taken waits on, unless it was put again meanwhile.
local function wait_on(value)
  if call('HSETNX', entries, string.sub(value, 21, RANK), value) == 1 then stand(value) end
end
`

export const scripts = {
  /**
   * ARGV: now, then changes: 'put', run, rank and handler, time | 'remove', run | 'ack', id | 'back', id, rank and handler.
   */
  writChange: `${shared}
local now = tonumber(ARGV[1])
local i = 2
while i <= #ARGV do
  local what, name = ARGV[i], ARGV[i + 1]
  if what == 'put' then
    local value, at = ARGV[i + 2], tonumber(ARGV[i + 3])
    i = i + 4
    local old = call('HGET', entries, name)
    if old ~= value then
      if old then leave(name, old) end
      call('HSET', entries, name, value)
      if at > now then call('ZADD', later, at, name) else stand(value) end
    end
  elseif what == 'remove' then
    i = i + 2
    local old = call('HGET', entries, name)
    if old then
      leave(name, old)
      call('HDEL', entries, name)
    end
  else
    local mine = call('XACK', out, 'workers', name)
    call('XDEL', out, name)
    if what == 'back' then
      if mine == 1 then wait_on(ARGV[i + 2]) end
      i = i + 3
    else
      i = i + 2
    end
  end
end
return 1`,

  /**
   * ARGV: epoch, limit, consumer, handlers to leave alone. Answers stream id and value in turns; nothing at all (nil) if what is
   * here cannot be trusted.
   */
  writTake: `${shared}
if call('GET', stamp) ~= ARGV[1] then return false end
local limit, consumer = tonumber(ARGV[2]), ARGV[3]
local except = {}
for i = 4, #ARGV do except[ARGV[i]] = true end
local heads = {}
for _, handler in ipairs(call('SMEMBERS', handlers)) do
  if not except[handler] then
    local first = call('ZRANGE', due .. handler, 0, 0)[1]
    if first then heads[#heads + 1] = { handler, first } else call('SREM', handlers, handler) end
  end
end
local taken = {}
while #taken < 2 * limit and #heads > 0 do
  local least = 1
  for i = 2, #heads do if heads[i][2] < heads[least][2] then least = i end end
  local handler, rank = heads[least][1], heads[least][2]
  if #taken == 0 and call('EXISTS', out) == 0 then call('XGROUP', 'CREATE', out, 'workers', '0', 'MKSTREAM') end
  local id = call('XADD', out, call('INCR', seq) .. '-0', 'value', rank .. handler)
  call('ZREM', due .. handler, rank)
  call('HDEL', entries, string.sub(rank, 21))
  taken[#taken + 1] = id
  taken[#taken + 1] = rank .. handler
  local first = call('ZRANGE', due .. handler, 0, 0)[1]
  if first then
    heads[least][2] = first
  else
    table.remove(heads, least)
    call('SREM', handlers, handler)
  end
end
if #taken > 0 then call('XREADGROUP', 'GROUP', 'workers', consumer, 'COUNT', #taken / 2, 'STREAMS', out, '>') end
return taken`,

  /**
   * ARGV: epoch, now, milliseconds after which a consumer that has not said how a claim went is lost. Answers whether something
   * is due, and when the next falls due or ''; nil as above.
   */
  writSweep: `${shared}
if call('GET', stamp) ~= ARGV[1] then return false end
local ripe = call('ZRANGEBYSCORE', later, '-inf', ARGV[2], 'LIMIT', 0, 1000)
for _, run in ipairs(ripe) do
  call('ZREM', later, run)
  local value = call('HGET', entries, run)
  if value then stand(value) end
end
if call('EXISTS', out) == 1 then
  for _, entry in ipairs(call('XAUTOCLAIM', out, 'workers', 'sweep', ARGV[3], '0-0', 'COUNT', 100)[2]) do
    call('XACK', out, 'workers', entry[1])
    call('XDEL', out, entry[1])
    wait_on(entry[2][2])
  end
  -- With the stream go its group and the names of consumers that are no more; ids go on, for the counter stays.
  if call('XLEN', out) == 0 then call('DEL', out) end
end
local any = 0
for _, handler in ipairs(call('SMEMBERS', handlers)) do
  if call('EXISTS', due .. handler) == 1 then any = 1 else call('SREM', handlers, handler) end
end
if #ripe == 1000 then return { any, ARGV[2] } end
return { any, call('ZRANGE', later, 0, 0, 'WITHSCORES')[2] or '' }`,

  /** ARGV: epoch. Empties what an earlier epoch left. Answers 1 if the entries of this epoch are to be put in. */
  writBegin: `${shared}
local epoch = tonumber(ARGV[1])
if tonumber(call('GET', stamp) or -1) >= epoch then return 0 end
local other = tonumber(call('GET', building) or -1)
if other > epoch then return 0 end
if other < epoch then
  for _, handler in ipairs(call('SMEMBERS', handlers)) do call('UNLINK', due .. handler) end
  call('UNLINK', stamp, entries, later, handlers, out)
  call('SET', building, ARGV[1])
end
return 1`,

  /** ARGV: epoch. All entries were put in, if nobody began anew meanwhile. */
  writFinish: `${shared}
if call('GET', building) ~= ARGV[1] then return 0 end
call('SET', stamp, ARGV[1])
call('DEL', building)
return 1`,
} as const

/** Of the whole copy: the epoch that it is complete for, and the set of its places. */
export const copyKeysOf = (space: string): string[] => [`{writ:${space}}:stamp`, `{writ:${space}}:places`]

export const copyScripts = {
  /**
   * ARGV: epoch, place. 1: it is new here; 0: it was here; -1: what is here cannot be trusted. It is remembered even so: who builds
   * the copy may have asked for its places already.
   */
  writMeet: `
local new = redis.call('SADD', KEYS[2], ARGV[2])
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
return new`,

  /** ARGV: epoch, places. Those that were met meanwhile stay; they have no stamp, and are built by the next sweep. */
  writComplete: `
if tonumber(redis.call('GET', KEYS[1]) or -1) >= tonumber(ARGV[1]) then return 0 end
for i = 2, #ARGV do redis.call('SADD', KEYS[2], ARGV[i]) end
redis.call('SET', KEYS[1], ARGV[1])
return 1`,
} as const
