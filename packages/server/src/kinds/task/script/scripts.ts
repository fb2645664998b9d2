import { type ChildProcess, spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { copyFile, lstat, mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { alteredNumber } from '@writ/api/exact-numbers'
import { type Intent, TaskError } from '../handler.ts'
import { resultAltered } from '../outcome.ts'
import { INFO_FD, type Sandbox } from './sandbox.ts'

/** Another try would come to the same. */
const NEVER = { retryable: false }
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$/
const ENDINGS = ['.py', '.ts', '.mjs', '.js'] as const
/** What is kept of the output: its end, where the reason of a failure stands. */
const MAX_LOG = 64 * 1024
const MAX_RESULT = 8 * 1024 * 1024
/** What was printed arrives within it, once the script has ended. */
const LAST_WORDS_MS = 1_000

export interface Scripts {
  /** Names that can be run, in order. */
  list(): Promise<string[]>
  /**
   * Which file the script of this name is, the digest of its bytes as they are now, and what will hold it; null if there is none. What
   * it reads beside itself is not told.
   */
  intent(name: string): Promise<ScriptIntent | null>
  /**
   * Runs the script of this name with these arguments, and answers what it returned. `intent`: what was announced; other bytes do not run.
   * Throws TaskError: SCRIPT_NAME_INVALID, SCRIPT_UNKNOWN, SCRIPT_CHANGED, SCRIPT_FAILED, SCRIPT_TIMEOUT, SCRIPT_RESULT_INVALID.
   */
  run(
    name: string,
    args: Record<string, unknown>,
    on: { taskId: string; signal: AbortSignal; log(line: string): void; intent?: Intent | null },
  ): Promise<unknown>
}

/** `sandbox`: the tier that holds it. */
export interface ScriptIntent extends Intent {
  readonly script: string
  readonly sha256: string
  readonly sandbox: string
  readonly network: boolean
}

export interface ScriptSettings {
  readonly dir: string
  readonly timeoutSeconds: number
  /** Scripts that run at once; more wait, and their own time begins when they start. */
  readonly concurrent: number
  readonly network: boolean
}

export function createScripts(settings: ScriptSettings, sandbox: Sandbox): Scripts {
  const slots = createSlots(settings.concurrent)

  /** The file of a name: in the folder itself, and not a link out of it. */
  async function find(name: string): Promise<string> {
    if (!NAME.test(name)) {
      const { name: bare, ext } = path.parse(name)
      const hint = NAME.test(bare) && ENDINGS.some((one) => one === ext) ? `; that of ${bare}${ext} is ${bare}` : ''
      throw new TaskError('SCRIPT_NAME_INVALID', `script_name may hold letters, digits, _ and - only${hint}`, NEVER)
    }
    const folder = await realpath(settings.dir)
    for (const ending of ENDINGS) {
      const file = await realpath(path.join(folder, name + ending)).catch(() => undefined)
      if (file === undefined) continue
      if (path.dirname(file) !== folder)
        throw new TaskError('SCRIPT_NAME_INVALID', `${name} is a link out of the folder`, NEVER)
      return file
    }
    throw new TaskError('SCRIPT_UNKNOWN', `There is no script ${name}`, NEVER)
  }

  return {
    async list() {
      const names = (await readdir(settings.dir)).map((file) => path.parse(file))
      return names
        .filter(({ name, ext }) => NAME.test(name) && (ENDINGS as readonly string[]).includes(ext))
        .map(({ name }) => name)
        .sort()
    },

    async intent(name) {
      const script = await find(name).catch((error: unknown) => {
        if (error instanceof TaskError) return undefined
        throw error
      })
      if (script === undefined) return null
      // The tier of another user sees the network whatever is set.
      const network = settings.network || sandbox.tier !== 'bubblewrap'
      return { script: path.basename(script), sha256: await digestOf(script), sandbox: sandbox.tier, network }
    },

    async run(name, args, { taskId, signal, log, intent = null }) {
      const script = await find(name)
      const leave = await slots.enter(signal)
      // Stopped below, the folder stays until the system cleans its temporary files; nothing refers to it.
      const workDir = await mkdtemp(path.join(tmpdir(), 'writ-script-'))
      try {
        await writeFile(path.join(workDir, 'input.json'), JSON.stringify(args), { mode: 0o644 })
        await sandbox.lend(workDir)
        // Other bytes may be put there at any time; between here and the interpreter's own reading are some milliseconds.
        if (intent !== null && intent.sha256 !== (await digestOf(script)))
          throw new TaskError('SCRIPT_CHANGED', `The script ${name} was changed after the log had said what would run`)
        return await execute({ name, script, workDir, taskId, signal, log })
      } finally {
        await rm(workDir, { recursive: true, force: true })
        leave()
      }
    },
  }

  async function execute(on: {
    name: string
    script: string
    workDir: string
    taskId: string
    signal: AbortSignal
    log(line: string): void
  }): Promise<unknown> {
    const python = on.script.endsWith('.py')
    // A copy, because who the script will be may not enter the folders that our sources are in.
    const wrapper = path.join(on.workDir, python ? 'wrapper.py' : 'wrapper.mjs')
    await copyFile(new URL(path.basename(wrapper), import.meta.url), wrapper)
    const wrapped = sandbox.wrap({
      program: python ? 'python' : 'node',
      args: [wrapper, on.script, on.taskId, on.workDir],
      workDir: on.workDir,
      readable: [path.dirname(on.script)],
      network: settings.network,
    })
    on.log(`--- Script ${on.name} started ---`)
    const limit = AbortSignal.timeout(settings.timeoutSeconds * 1_000)
    const { code, output } = await spawned(wrapped, AbortSignal.any([limit, on.signal]), on.log)
    on.log(`--- Script ${on.name} finished ---`)
    on.signal.throwIfAborted()
    if (limit.aborted) throw new TaskError('SCRIPT_TIMEOUT', `Script timed out after ${settings.timeoutSeconds}s`)
    if (code !== 0) throw new TaskError('SCRIPT_FAILED', `Script execution failed: ${output}`)
    return resultIn(path.join(on.workDir, 'output.json'))
  }
}

const digestOf = async (file: string): Promise<string> => hash('sha256', await readFile(file), 'hex')

/** What the script left. The folder was the script's: a link in it could lead to any file, so only a plain file is read. */
async function resultIn(file: string): Promise<unknown> {
  const found = await lstat(file).catch(() => undefined)
  if (found === undefined) return { status: 'success', msg: 'No output data returned' }
  if (!found.isFile() || found.size > MAX_RESULT)
    throw new TaskError('SCRIPT_RESULT_INVALID', `The script's result is no file of at most ${MAX_RESULT} bytes`, NEVER)
  let text: string
  let result: unknown
  try {
    text = await readFile(file, 'utf8')
    result = JSON.parse(text)
  } catch {
    throw new TaskError('SCRIPT_RESULT_INVALID', "The script's result is not JSON", NEVER)
  }
  // Python has whole numbers of any length.
  const altered = alteredNumber(text)
  if (altered !== undefined) throw resultAltered(altered, 'SCRIPT_RESULT_INVALID')
  return result
}

/** Runs to the end, or until aborted: then all of it is killed. Output and errors come as one, in lines. */
function spawned(
  on: ReturnType<Sandbox['wrap']>,
  signal: AbortSignal,
  log: (line: string) => void,
): Promise<{ code: number | null; output: string }> {
  if (signal.aborted) return Promise.resolve({ code: null, output: '' })
  return new Promise((resolve, reject) => {
    const child = spawn(on.command, on.args, {
      env: { ...on.env },
      stdio: ['ignore', 'pipe', 'pipe', on.infoFd === undefined ? 'ignore' : 'pipe'],
      detached: true,
      ...(on.uid === undefined ? {} : { uid: on.uid, gid: on.gid }),
    })
    let output = ''
    let begun = ''
    const take = (text: string) => {
      output = (output + text).slice(-MAX_LOG)
      const lines = (begun + text).split('\n')
      begun = lines.pop()!.slice(-MAX_LOG)
      for (const line of lines) log(line)
    }
    child.stdout!.setEncoding('utf8').on('data', take)
    child.stderr!.setEncoding('utf8').on('data', take)
    const holder = holderOf(child)
    const stop = () => void holder.then((pid) => endAll(child.pid, pid))
    if (child.pid !== undefined) signal.addEventListener('abort', stop, { once: true })
    child.once('error', (error) => reject(new TaskError('SCRIPT_FAILED', `Script execution failed: ${error.message}`)))
    // What it left running in its group would outlive it and hold the pipes open. One that ended by itself has waited for its holder,
    // whose number may be somebody else's by now; one that was killed, by whomever, has not.
    child.once('exit', (_code, killed) => {
      signal.removeEventListener('abort', stop)
      if (killed === null) endAll(child.pid)
      else stop()
      // What went into a session of its own may hold the pipes all the same, where nothing holds it. It is not waited for.
      setTimeout(() => {
        child.stdout!.destroy()
        child.stderr!.destroy()
      }, LAST_WORDS_MS).unref()
    })
    child.once('close', (code) => {
      if (begun !== '') log(begun)
      resolve({ code, output })
    })
  })
}

/** The process that holds all others, as soon as it is told; undefined if none is. */
function holderOf(child: ChildProcess): Promise<number | undefined> {
  const info = child.stdio[INFO_FD] as Readable | null | undefined
  if (!info) return Promise.resolve(undefined)
  return new Promise((resolve) => {
    let told = ''
    // To its end, or whoever tells would be killed for it.
    info.setEncoding('utf8').on('data', (text: string) => {
      told += text
      const pid = /"child-pid": (\d+)\D/.exec(told)?.[1]
      if (pid !== undefined) resolve(Number(pid))
    })
    info.once('close', () => resolve(undefined))
  })
}

/** Kills what holds all others, and the group of what was spawned. What is gone already is gone. */
function endAll(spawned: number | undefined, holder?: number): void {
  for (const pid of [holder, spawned && -spawned]) {
    if (pid === undefined) continue
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It is gone.
    }
  }
}

/** Lets `size` in at once; the others wait in order, or leave when their signal aborts. */
function createSlots(size: number) {
  let free = size
  const waiting = new Set<() => void>()
  const leave = () => {
    const [next] = waiting
    if (next) next()
    else free++
  }
  return {
    async enter(signal: AbortSignal): Promise<() => void> {
      signal.throwIfAborted()
      if (free > 0) free--
      else
        await new Promise<void>((resolve, reject) => {
          const enter = () => {
            waiting.delete(enter)
            signal.removeEventListener('abort', away)
            resolve()
          }
          const away = () => {
            waiting.delete(enter)
            reject(signal.reason)
          }
          waiting.add(enter)
          signal.addEventListener('abort', away, { once: true })
        })
      return leave
    },
  }
}
