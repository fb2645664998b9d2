/**
 * Where scripts run. Two tiers: bubblewrap (own namespaces, no network, a file system of what it needs and nothing else), and
 * a process of another user with an empty environment and limits. What a host lacks is refused, never replaced in silence.
 * Source: bwrap(1), prlimit(1); the pitfalls of bubblewrap as root in docs/decisions/0046.
 */
import { execFile } from 'node:child_process'
import { chown } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

export type Tier = 'bubblewrap' | 'process'

/** A command to spawn, and as whom. */
export interface Sandboxed {
  readonly command: string
  readonly args: readonly string[]
  readonly uid?: number
  readonly gid?: number
  readonly env: Readonly<Record<string, string>>
  /**
   * It tells here, as bwrap(1) does with `--info-fd`, which process holds all others. That one is to be killed: the one that was spawned,
   * killed before that one has asked to die with it, would leave all of them running.
   */
  readonly infoFd?: typeof INFO_FD
}

export interface Sandbox {
  readonly tier: Tier
  /** A sentence for the operator: what holds a script, and what does not. */
  readonly note: string
  /** Makes the work folder usable by whoever the script will be. */
  lend(workDir: string): Promise<void>
  wrap(on: {
    readonly program: 'python' | 'node'
    readonly args: readonly string[]
    readonly workDir: string
    /** Read by the script, never written. */
    readonly readable: readonly string[]
    readonly network: boolean
  }): Sandboxed
}

/** The machine has no tier that is safe enough. */
class SandboxUnavailable extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'SandboxUnavailable'
  }
}

const NOBODY = 65_534
/** The first that a child has beside its three streams. */
export const INFO_FD = 3
const PYTHON = '/usr/bin/python3'
const run = promisify(execFile)
// A file of 256 MiB, 256 open files, no core dumps. Memory: Node reserves far more address space than it uses.
const LIMITS = ['--fsize=268435456', '--nofile=256', '--core=0']
const PYTHON_MEMORY = '--as=1073741824'
const NODE_MEMORY = '--max-old-space-size=512'
const ENV = { PATH: '/usr/bin:/bin', LANG: 'C.UTF-8', PYTHONDONTWRITEBYTECODE: '1', PYTHONUNBUFFERED: '1' }

const programOf = (program: 'python' | 'node'): string => (program === 'python' ? PYTHON : process.execPath)

const limited = (program: 'python' | 'node', args: readonly string[]): string[] => [
  'prlimit',
  ...LIMITS,
  ...(program === 'python' ? [PYTHON_MEMORY] : []),
  '--',
  programOf(program),
  ...(program === 'node' ? [NODE_MEMORY] : []),
  ...args,
]

/**
 * Finds the best tier that works here, by trying it; the note of a lesser one says why it is not a better one.
 * Throws SandboxUnavailable with what to install.
 */
export async function openSandbox(want?: Tier): Promise<Sandbox> {
  const reasons: string[] = []
  for (const tier of [bubblewrap, otherUser]) {
    if (want !== undefined && tier.tier !== want) continue
    const reason = await tier.missing()
    if (reason === undefined) return { ...tier, note: [tier.note, ...reasons.map(sentence)].join(' ') }
    reasons.push(reason)
  }
  throw new SandboxUnavailable(`no script can be run safely on this host: ${reasons.join('; ')}`)
}

const sentence = (reason: string): string => `${reason.charAt(0).toUpperCase()}${reason.slice(1).replace(/\.?$/, '.')}`

const bubblewrap: Sandbox & { missing(): Promise<string | undefined> } = {
  tier: 'bubblewrap',
  note: 'Scripts run in bubblewrap: own namespaces, a read-only system, no network unless allowed.',
  async missing() {
    const { command, args } = bubblewrap.wrap({
      program: 'python',
      args: ['-c', ''],
      workDir: '/tmp',
      readable: [],
      network: false,
    })
    // Nobody listens to what it tells.
    const quiet = args.filter((arg, i) => arg !== '--info-fd' && args[i - 1] !== '--info-fd')
    return run(command, quiet, { timeout: 10_000 }).then(
      () => undefined,
      (error: Error) => `bubblewrap does not work (${error.message.trim().split('\n').at(-1)})`,
    )
  },
  // Root inside the user namespace is the caller outside of it: what we own the script can write.
  lend: async () => {},
  wrap({ program, args, workDir, readable, network }) {
    const node = program === 'node' ? ['--ro-bind', process.execPath, process.execPath] : []
    return {
      command: 'bwrap',
      args: [
        '--unshare-all',
        ...(network ? ['--share-net'] : []),
        '--unshare-user',
        '--uid',
        '1234',
        '--gid',
        '1234',
        '--cap-drop',
        'ALL',
        '--disable-userns',
        '--die-with-parent',
        '--info-fd',
        String(INFO_FD),
        '--new-session',
        '--clearenv',
        ...Object.entries({ ...ENV, HOME: workDir }).flatMap(([name, value]) => ['--setenv', name, value]),
        ...['--ro-bind', '/usr', '/usr'],
        ...['bin', 'sbin', 'lib', 'lib64'].flatMap((name) => ['--ro-bind-try', `/${name}`, `/${name}`]),
        ...(network ? ['resolv.conf', 'hosts', 'nsswitch.conf', 'ssl'] : ['ssl']).flatMap((name) => [
          '--ro-bind-try',
          `/etc/${name}`,
          `/etc/${name}`,
        ]),
        ...['--proc', '/proc', '--dev', '/dev', '--tmpfs', '/tmp'],
        ...node,
        ...readable.flatMap((name) => ['--ro-bind', name, name]),
        ...['--bind', workDir, workDir, '--chdir', workDir, '--'],
        ...limited(program, args),
      ],
      env: { PATH: ENV.PATH },
      infoFd: INFO_FD,
    }
  },
}

const otherUser: Sandbox & { missing(): Promise<string | undefined> } = {
  tier: 'process',
  note: 'Scripts run as another user with an empty environment and limits, but they see the file system and the network.',
  async missing() {
    if (process.getuid?.() !== 0) return 'the server is not root, so it cannot start a process as another user'
    return run('prlimit', ['--version']).then(
      () => undefined,
      () => 'prlimit is not installed',
    )
  },
  lend: async (workDir) => chown(workDir, NOBODY, NOBODY),
  wrap({ program, args, workDir }) {
    const [command, ...rest] = limited(program, args)
    return { command: command!, args: rest, uid: NOBODY, gid: NOBODY, env: { ...ENV, HOME: path.resolve(workDir) } }
  },
}
