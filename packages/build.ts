/**
 * npm run build: the packages that are published (api, tlog, sdk, cli), as JavaScript with declarations in `dist/packages`. In this
 * repository sources run as they are; under node_modules Node refuses to strip types, hence the build. Each folder can be packed.
 */
import { execFile } from 'node:child_process'
import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = path.join(import.meta.dirname, '..')

export const published = ['api', 'tlog', 'sdk', 'cli'] as const

/** The parts of our own package.json files that a published one is made of. */
interface Manifest {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly type: string
  readonly sideEffects?: boolean
  readonly exports: Readonly<Record<string, string>>
  readonly bin?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
}

const descriptions: Record<(typeof published)[number], string> = {
  api: 'The HTTP API of Writ as data: endpoints, schemas, error table, audit vocabulary.',
  tlog: 'Transparency log of Writ: tiles, proofs, signed notes, verification. Pure, runs in browsers.',
  sdk: 'Typed client of the Writ HTTP API.',
  cli: 'The writ command line: tickets, evidence, runs, and verification of the log without a server.',
}

/**
 * Builds into a folder, which is emptied first; answers each package's folder.
 * @throws Error with what the compiler said
 */
export async function buildPackages(out = path.join(root, 'dist/packages')): Promise<string[]> {
  await rm(out, { recursive: true, force: true })
  const compiler = path.join(root, 'node_modules/.bin/tsc')
  await run(compiler, ['-p', path.join(root, 'tsconfig.build.json'), '--outDir', out]).catch((error: Error) => {
    const said = 'stdout' in error ? String(error.stdout) : ''
    throw new Error(`the packages do not compile\n${said}`, { cause: error })
  })
  const folders: string[] = []
  for (const name of published) {
    const folder = path.join(out, name)
    await mkdir(folder, { recursive: true })
    // Ours, and small: the fields above are in all four.
    const source = JSON.parse(await readFile(path.join(root, 'packages', name, 'package.json'), 'utf8')) as Manifest
    const manifest = publish(source, descriptions[name])
    await writeFile(path.join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
    for (const file of Object.values(manifest.bin ?? {})) await chmod(path.join(folder, file), 0o755)
    for (const page of ['README.md', 'README.zh-CN.md'])
      await copyFile(path.join(root, 'packages', name, page), path.join(folder, page))
    await copyFile(path.join(root, 'LICENSE'), path.join(folder, 'LICENSE')).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
    folders.push(folder)
  }
  return folders
}

/** The manifest as users get it: compiled files instead of sources, and the Node that they need. */
function publish(source: Manifest, description: string) {
  const { name, version, license, type, sideEffects, exports, bin, dependencies } = source
  const compiled = (file: string, ending: string) => file.replace(/\.ts$/, ending)
  return {
    name,
    version,
    description,
    license,
    type,
    ...(sideEffects !== undefined && { sideEffects }),
    engines: { node: '>=24' },
    exports: Object.fromEntries(
      Object.entries(exports).map(([key, file]) => [
        key,
        { types: compiled(file, '.d.ts'), default: compiled(file, '.js') },
      ]),
    ),
    ...(bin && { bin: Object.fromEntries(Object.entries(bin).map(([key, file]) => [key, compiled(file, '.js')])) }),
    ...(dependencies && { dependencies }),
  }
}

if (import.meta.main)
  for (const folder of await buildPackages()) process.stdout.write(`${path.relative(root, folder)}\n`)
