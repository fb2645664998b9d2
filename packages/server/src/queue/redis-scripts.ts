/**
 * What happens in Redis in one step. All keys of a place have one hash tag, so that a cluster keeps them on one node:
 *
 *     {writ:<space>:<project>:<queue>}:stamp     epoch whose entries are complete here
 *                                     :building  epoch whose entries are being put in, and by which beginning
 *                                     :entries   hash: run -> rank and handler, of what waits
 *                                     :later     sorted set: run, by its time
 *                                     :due:<h>   sorted set per handler: ranks, all with score 0, which sorts them as text
 *                                     :handlers  set: handlers that may have something due
 *                                     :out       stream: what was taken out to be claimed; its group `workers` knows by whom
 *                                     :seq       counter: ids of the stream
 *
 * Scripts get these keys in this order, the prefix of `:due:` as the last. Work that may run is read off the stream by a
 * consumer and acknowledged when its claim has committed; what a lost consumer leaves is claimed back by its idle time.
 *
 * A place in which nothing is for a while goes, and then its name goes from the places, which may be on another node. Nothing is put
 * where there is neither a stamp nor a beginning: it waits in the table, unseen. Whoever brings a stamp back notes the place anew
 * after it began and before it ends, under a new number, and a name goes only under the number that it had before its place
 * went. So whatever stops or comes late, a place with a stamp has its name.
 *
 * A full Redis (`maxmemory`, `noeviction`) refuses the first write of a script if it may need memory. If it needs none, the script
 * runs to its end. So what hands out, returns, moves or frees what is here begins with `PERSIST`, which changes nothing, and
 * only what adds is refused. Flags of scripts would say the same, from Redis 7 on.
 */
export const keysOf = (tag: string): string[] =>
  ['stamp', 'building', 'entries', 'later', 'handlers', 'out', 'seq', 'due:'].map((name) => `{${tag}}:${name}`)

export const KEYS = 8

const shared = `
local stamp, building, entries, later, handlers, out, seq, due = unpack(KEYS)
local call = redis.call
local RANK = 56
-- From here on nothing is refused for want of memory.
local function need_none() call('PERSIST', stamp) end
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
   * ARGV: now, then changes: 'put' or 'keep', run, rank and handler, time | 'remove', run | 'ack', id | 'back', id, rank and handler.
   * Answers 2; 1 if the place is being built; 0 if it is not there, and nothing was done. Where there is no memory for what is put,
   * the rest is done, and the answer is Redis's error.
   */
  writChange: `${shared}
local answer = call('EXISTS', stamp) == 1 and 2 or call('EXISTS', building)
if answer == 0 then return 0 end
-- Writes nothing, and is refused like what does.
local probe = redis.pcall('SETRANGE', building, 0, '')
local full, refused = type(probe) == 'table' and string.find(probe.err, 'OOM', 1, true), false
if type(probe) == 'table' and not full then return probe end
need_none()
local now = tonumber(ARGV[1])
local i = 2
while i <= #ARGV do
  local what, name = ARGV[i], ARGV[i + 1]
  if what == 'put' or what == 'keep' then
    local value, at = ARGV[i + 2], tonumber(ARGV[i + 3])
    i = i + 4
    local old = call('HGET', entries, name)
    if full and what == 'put' and not old then
      refused = true
    elseif old ~= value then
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
if refused then return redis.error_reply("OOM command not allowed when used memory > 'maxmemory'.") end
return answer`,

  /**
   * ARGV: epoch, limit, consumer, handlers to leave alone. Answers stream id and value in turns; nothing at all (nil) if what is
   * here cannot be trusted. Ids go on from the clock, in microseconds, so that those of a place that went do not come again.
   */
  writTake: `${shared}
local epoch = call('GET', stamp)
if not epoch and call('EXISTS', building) == 0 then return {} end
if epoch ~= ARGV[1] then return false end
need_none()
if call('EXISTS', seq) == 0 then
  local time = call('TIME')
  call('SET', seq, time[1] .. string.format('%06d', time[2]))
end
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
  local id = call('XADD', out, string.format('%.0f-0', call('INCR', seq)), 'value', rank .. handler)
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
   * is due, when the next falls due or '', and, if nothing is here at all, the counter; nil if it cannot be trusted.
   */
  writSweep: `${shared}
if call('GET', stamp) ~= ARGV[1] then return false end
need_none()
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
if #ripe == 1000 then return { any, ARGV[2], '' } end
local empty = any == 0 and call('EXISTS', entries) + call('EXISTS', later) + call('EXISTS', out) == 0
return { any, call('ZRANGE', later, 0, 0, 'WITHSCORES')[2] or '', empty and (call('GET', seq) or '0') or '' }`,

  /**
   * ARGV: epoch, a name for this beginning. Empties what an earlier epoch left. Answers the beginning if the entries of this epoch
   * are to be put in, and 1 if it is this one; else nil.
   */
  writBegin: `${shared}
local epoch = tonumber(ARGV[1])
if tonumber(call('GET', stamp) or -1) >= epoch then return false end
local begun = call('GET', building)
local other = begun and tonumber(string.match(begun, '^%d+')) or -1
if other > epoch then return false end
if other == epoch then return { begun, 0 } end
for _, handler in ipairs(call('SMEMBERS', handlers)) do call('UNLINK', due .. handler) end
call('UNLINK', stamp, entries, later, handlers, out)
begun = ARGV[1] .. ' ' .. ARGV[2]
call('SET', building, begun)
return { begun, 1 }`,

  /** ARGV: epoch, a beginning. All entries were put in, if nobody began anew meanwhile. */
  writFinish: `${shared}
if call('GET', building) ~= ARGV[2] then return 0 end
call('DEL', building)
call('SET', stamp, ARGV[1])
return 1`,

  /** ARGV: epoch, the counter when it was seen to be empty. Answers 1 if nothing was here since, and nothing is left. */
  writPrune: `${shared}
if call('GET', stamp) ~= ARGV[1] or (call('GET', seq) or '0') ~= ARGV[2] then return 0 end
if call('EXISTS', building) + call('EXISTS', entries) + call('EXISTS', later) + call('EXISTS', out) > 0 then return 0 end
for _, handler in ipairs(call('SMEMBERS', handlers)) do
  if call('EXISTS', due .. handler) == 1 then return 0 end
end
call('DEL', stamp, handlers, seq)
return 1`,
} as const

/** Of the whole copy: the epoch that it is complete for, the set of its places, and their numbers; the last one stands at ''. */
export const copyKeysOf = (space: string): string[] =>
  ['stamp', 'places', 'numbers'].map((name) => `{writ:${space}}:${name}`)
export const COPY_KEYS = 3

export const copyScripts = {
  /**
   * ARGV: epoch, place. 1: it is new here; 0: it was here; -1: what is here cannot be trusted. It is remembered even so: who builds
   * the copy may have asked for its places already.
   */
  writMeet: `
local new = redis.call('SISMEMBER', KEYS[2], ARGV[2]) == 0 and redis.call('SADD', KEYS[2], ARGV[2]) or 0
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
return new`,

  /** ARGV: epoch, places. Those that were met meanwhile stay; they have no stamp, and are built by the next sweep. */
  writComplete: `
if tonumber(redis.call('GET', KEYS[1]) or -1) >= tonumber(ARGV[1]) then return 0 end
redis.call('PERSIST', KEYS[1])
for i = 2, #ARGV do redis.call('SADD', KEYS[2], ARGV[i]) end
redis.call('SET', KEYS[1], ARGV[1])
return 1`,

  /** ARGV: places. */
  writKeep: `
redis.call('PERSIST', KEYS[1])
for _, name in ipairs(ARGV) do
  redis.call('SADD', KEYS[2], name)
  redis.call('HSET', KEYS[3], name, redis.call('HINCRBY', KEYS[3], '', 1))
end
return 1`,

  /** ARGV: place, its number before it went, or ''. */
  writLeave: `
if (redis.call('HGET', KEYS[3], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[3], ARGV[1])
return redis.call('SREM', KEYS[2], ARGV[1])`,
} as const
