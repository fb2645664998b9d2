/**
 * Packages of Debian in a folder of our own: apt checks the signature of the suite's index, and each package's digest against it. Nothing
 * is installed, and the lists of the system are left alone.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

export interface Packages {
  /** What would be `/` if they were installed. */
  readonly root: string
  /** `name version` of each. */
  readonly versions: readonly string[]
}

/** Why packages cannot be had here, or undefined if they can (where there is a network). */
export function missingDebian(): string | undefined {
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch))
    return `Debian's packages are run on Linux on amd64 or arm64, this is ${process.platform} on ${process.arch}`
  for (const file of ['/usr/bin/apt-get', '/usr/bin/dpkg-deb'])
    if (!existsSync(file)) return `${file} is needed to fetch Debian's packages`
  return existsSync(KEYRING) ? undefined : `${KEYRING} is needed to check Debian's packages (debian-archive-keyring)`
}

/**
 * Fetches and unpacks packages of a suite, without what they depend on. Below `cache`, where a second call finds what has not
 * changed since. Throws what apt said, above all where there is no network.
 */
export async function fetchPackages(cache: string, suite: string, names: readonly string[]): Promise<Packages> {
  const at = (...parts: string[]) => path.join(cache, ...parts)
  for (const folder of ['lists/partial', 'archives/partial', 'debs', 'nothing'])
    await mkdir(at(folder), { recursive: true })
  await writeFile(at('status'), '')
  await writeFile(at('sources.list'), `deb [signed-by=${KEYRING}] https://deb.debian.org/debian ${suite} main\n`)
  const settings = {
    'Dir::State': cache,
    'Dir::State::lists': at('lists'),
    'Dir::State::status': at('status'),
    'Dir::Cache': cache,
    'Dir::Etc::sourcelist': at('sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Acquire::Languages': 'none',
    // Without it an index that could not be fetched is a warning, and the one of last time is used.
    'APT::Update::Error-Mode': 'any',
    'APT::Sandbox::User': process.getuid?.() === 0 ? 'root' : '',
  }
  await writeFile(
    at('apt.conf'),
    Object.entries(settings)
      .map(([name, value]) => `${name} "${value}";\n`)
      .join(''),
  )
  const env = { ...process.env, APT_CONFIG: at('apt.conf') }
  await run('apt-get', ['-q', 'update'], { env })
  // In a folder where nothing is: it does not name what is there already.
  const { stdout } = await run('apt-get', ['-q', '--print-uris', 'download', ...names], { env, cwd: at('nothing') })
  // 'https://…' <file> <size> SHA256:<digest>
  const files = [...stdout.matchAll(/^'\S+' (\S+_\S+_\S+\.deb) \d+ SHA256:[0-9a-f]{64}$/gm)].map(([, file]) => file!)
  if (files.length !== names.length) throw new Error(`apt names no digests for some of these packages:\n${stdout}`)
  const root = at(`root-${createHash('sha256').update(files.sort().join()).digest('hex').slice(0, 16)}`)
  if (!existsSync(root)) {
    for (const old of await readdir(cache)) if (/^(root-|debs$)/.test(old)) await rm(at(old), { recursive: true })
    await mkdir(at('debs'))
    await run('apt-get', ['-q', 'download', ...names], { env, cwd: at('debs') })
    // Stopped in between, the next call begins anew: the name is given when everything is there.
    for (const file of files) await run('dpkg-deb', ['-x', at('debs', file), at('root-half')])
    await rename(at('root-half'), root)
  }
  return { root, versions: files.map((file) => decodeURIComponent(file.split('_').slice(0, 2).join(' '))) }
}
