/**
 * Starts a server that cannot outlive this process.
 *
 * A shell stands between: it holds the reading end of a pipe whose writing end only this process has. When this process ends, in whatever
 * way (return, crash, kill -9), the kernel closes the pipe, and the shell ends the server and removes its folder. Nothing needs to be
 * remembered, no exit handler has to run. The server is in a session of its own, so Ctrl-C reaches it through the pipe and not twice.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import type { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

export type GuardOptions = {
  command: string
  args: string[]
  /** Removed by the shell when this process dies without stopping the server. */
  folder: string
  /** Asks the server to end; after ten seconds it is killed. */
  stopSignal?: 'TERM' | 'INT'
  uid?: number
  gid?: number
  env?: Record<string, string | undefined>
}

export type Guarded = {
  pid: number
  /** Resolves when a line of the server's output contains the text; rejects with the output when the server ends before. */
  saying(text: string): Promise<void>
  /** Rejects when the server ends, with what it said; for racing against a start. Never resolves. */
  readonly failed: Promise<never>
  /** Ends the server and resolves when it is gone. */
  stop(): Promise<void>
  /** Kills the server with SIGKILL and resolves when it is gone. */
  kill9(): Promise<void>
}

// $1 is the signal, $2 the folder, the rest the server. Descriptor 3 is the pipe: the word "stop" on it is a polite end (the folder stays),
// its close without a word means that the other side has died.
const WATCH = `
signal=$1; folder=$2; shift 2
"$@" </dev/null 3<&- &
server=$!
# What this shell says about its server may have no reader any more, and that must not end it.
trap '' PIPE
echo "pid $server"
(
  word=
  read -r word <&3
  trap '' TERM
  tries=0
  # Every second again: a server that is just starting may not listen to signals yet.
  while [ $tries -lt 200 ]; do
    if [ $((tries % 20)) = 0 ]; then kill -$signal $server 2>/dev/null; fi
    kill -0 $server 2>/dev/null || break
    sleep 0.05
    tries=$((tries + 1))
  done
  kill -KILL $server 2>/dev/null
  [ "$word" = stop ] || exit 7
) >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait $server
code=$?
# Asleep still, the watcher would signal a number that may be another's by then. Awake, it ignores this and reports.
kill $watch 2>/dev/null
wait $watch
if [ $? = 7 ]; then sleep 0.2; rm -rf -- "$folder"; fi
exit $code
`

/** @throws Error if the program cannot be started */
export async function startGuarded(options: GuardOptions): Promise<Guarded> {
  const { command, args, folder, stopSignal = 'TERM', uid, gid, env } = options
  const child = spawn('/bin/sh', ['-c', WATCH, 'guard', stopSignal, folder, command, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    detached: true,
    cwd: folder,
    uid,
    gid,
    env: env ?? process.env,
  })
  const pipe = child.stdio[3] as Writable // 'pipe' above makes it one
  pipe.on('error', () => {}) // the shell is gone already; its exit says so
  let output = ''
  const listeners = new Set<() => void>()
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-20_000)
      for (const listener of listeners) listener()
    })
  }
  const ended = once(child, 'exit')
  const failed = ended.then(([code, signal]) => {
    throw new Error(`${command} ended (${code ?? signal}):\n${output.slice(-3_000)}`)
  })
  failed.catch(() => {})
  const saying = async (text: string) => {
    let listener = () => {}
    const said = new Promise<void>((resolve) => {
      listener = () => {
        if (output.includes(text)) resolve()
      }
      listeners.add(listener)
      listener()
    })
    child.ref() // this process waits for it, so it must not end meanwhile
    await Promise.race([said, failed]).finally(() => {
      listeners.delete(listener)
      child.unref()
    })
  }
  await saying('pid ')
  const pid = Number(/^pid (\d+)$/m.exec(output)?.[1])
  // A test that forgets to stop its server still ends; the pipe then closes and the shell cleans up.
  for (const stream of [child.stdout, child.stderr, pipe]) unref(stream)
  const gone = () => ended.then(() => {})
  return {
    pid,
    failed,
    saying,
    async stop() {
      child.ref()
      pipe.end('stop\n')
      await gone()
    },
    async kill9() {
      child.ref()
      // PostgreSQL's sessions outlive their server for a moment, and would still answer.
      const all = child.exitCode === null ? [pid, ...childrenOf(pid)] : []
      for (const one of all) kill(one)
      // Their shared memory would be in the way of the next start.
      while (all.slice(1).some(isAlive)) await sleep(5)
      pipe.end('stop\n')
      await gone()
    },
  }
}

/** What a process has started (Linux; nothing elsewhere). */
function childrenOf(pid: number): number[] {
  const list = `/proc/${pid}/task/${pid}/children`
  return existsSync(list) ? readFileSync(list, 'utf8').split(' ').filter(Boolean).map(Number) : []
}

/** Not gone, and no zombie that nobody has looked after yet. */
function isAlive(pid: number): boolean {
  try {
    return !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

/** Pipes of a child process are sockets, though their type does not say so. */
function unref(stream: unknown): void {
  if (stream && typeof stream === 'object' && 'unref' in stream && typeof stream.unref === 'function') stream.unref()
}

/** Removes a server's folder; a file that its dying children still wrote is taken by the second look. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
}
