/**
 * Builds the console into `dist`, once: when there is no bundle, or when it was built from other sources. Runs before
 * `npm start`, `npm run demo` and the tests; the server only serves what is there.
 */
import { createHash } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'

const here = import.meta.dirname
const dist = path.join(here, 'dist')
const root = path.join(here, '../..')

// A tenth smaller than gzip for a second more; the best quality takes three for another fiftieth.
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: 10 } }

/** SHA-256 of everything that a bundle is made of: our sources, and by the lockfile those of others. */
function digestOfSources(): string {
  const sources = globSync(
    [
      'packages/console/{index.html,vite.config.ts,build.ts}',
      'packages/{console,sdk,api,tlog}/src/**/*',
      'examples/*',
      'package-lock.json',
    ],
    { cwd: root, withFileTypes: true },
  )
    .filter((one) => one.isFile() && !one.name.includes('.test.'))
    .map((one) => path.join(one.parentPath, one.name))
    .sort()
  const digest = createHash('sha256')
  for (const file of sources) digest.update(`${path.relative(root, file)}\0`).update(readFileSync(file))
  return digest.digest('hex')
}

/** Answers whether it had to build. Throws what the builder says. */
export async function buildConsole(): Promise<boolean> {
  const digest = digestOfSources()
  if ((await readFile(path.join(dist, 'sources'), 'utf8').catch(() => '')) === digest) return false
  const started = performance.now()
  process.stdout.write('Building the console (once, until its sources change) ...\n')
  const { build } = await import('vite')
  // Beside the old one, and then in its place: stopped anywhere, what is served is whole. Two at once build the same.
  const made = path.join(here, `.dist-${process.pid}`)
  await build({
    configFile: path.join(here, 'vite.config.ts'),
    logLevel: 'warn',
    build: { outDir: made, emptyOutDir: true },
  })
  const files = path.join(made, '-')
  for (const name of await readdir(files)) {
    if (!/\.(js|css|svg)$/.test(name)) continue
    const bytes = await readFile(path.join(files, name))
    await writeFile(path.join(files, `${name}.gz`), await promisify(gzip)(bytes, { level: 9 }))
    await writeFile(path.join(files, `${name}.br`), await promisify(brotliCompress)(bytes, BROTLI))
  }
  await writeFile(path.join(made, 'sources'), digest)
  await mkdir(dist, { recursive: true })
  await rm(dist, { recursive: true, force: true })
  await rename(made, dist).catch(async (error: NodeJS.ErrnoException) => {
    await rm(made, { recursive: true, force: true })
    // Another build of the same sources was faster.
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
  process.stdout.write(`The console is built (${((performance.now() - started) / 1000).toFixed(1)} s).\n`)
  return true
}

if (import.meta.main)
  await buildConsole().catch((error: unknown) => {
    // The server is more than its console: it starts without one, and says so on the page.
    process.stderr.write(`The console could not be built: ${error instanceof Error ? error.message : String(error)}\n`)
  })
