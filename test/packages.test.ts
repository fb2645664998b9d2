/** The published packages, as somebody has them who installed them. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { buildPackages, published } from '../packages/build.ts'

const run = promisify(execFile)
const modules = path.join(import.meta.dirname, '../node_modules')
let folder: string
let installed: string

/** Builds, packs and unpacks as an installation does; what others published is linked from here. */
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'writ-packages-'))
  installed = path.join(folder, 'user/node_modules')
  const built = await buildPackages(path.join(folder, 'built'))
  await run('npm', ['pack', '--offline', '--ignore-scripts', '--pack-destination', folder, ...built], { cwd: folder })
  for (const name of published) {
    const target = path.join(installed, '@writ', name)
    await mkdir(target, { recursive: true })
    await run('tar', ['-xzf', path.join(folder, `writ-${name}-0.1.0.tgz`), '--strip-components=1', '-C', target])
    for (const dependency of Object.keys((await manifest(name)).dependencies ?? {})) {
      if (dependency.startsWith('@writ/')) continue
      await symlink(path.join(modules, dependency), path.join(installed, dependency)).catch((error: Error) => {
        if (!('code' in error) || error.code !== 'EEXIST') throw error
      })
    }
  }
})
after(() => rm(folder, { recursive: true, force: true }))

interface Manifest {
  readonly engines: { readonly node: string }
  readonly license: string
  readonly bin?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
}

async function manifest(name: string): Promise<Manifest> {
  // Written by the build.
  return JSON.parse(await readFile(path.join(installed, '@writ', name, 'package.json'), 'utf8')) as Manifest
}

const node = (...args: string[]) => run(process.execPath, args, { cwd: path.dirname(installed) })

for (const name of [
  '@writ/api',
  '@writ/api/costs',
  '@writ/api/step-name',
  '@writ/api/exact-numbers',
  '@writ/api/hidden',
  '@writ/api/thrown',
  '@writ/tlog',
  '@writ/sdk',
  '@writ/sdk/node',
  '@writ/sdk/handlers',
  '@writ/cli',
]) {
  test(`${name} can be imported where it is installed`, async () => {
    const { stdout } = await node('-e', `import('${name}').then((m) => console.log(Object.keys(m).length > 0))`)
    assert.equal(stdout, 'true\n')
  })
}

test('the client that was installed is the client', async () => {
  const program = `import { createClient } from '@writ/sdk'
    console.log(typeof createClient({ url: 'http://127.0.0.1:9' }).auth.me)`
  assert.equal((await node('--input-type=module', '-e', program)).stdout, 'function\n')
})

test('writ runs where it is installed', async () => {
  const { bin } = await manifest('cli')
  const program = path.join(installed, '@writ/cli', bin?.writ ?? '')
  const { stdout } = await run(program, ['--help'], {
    cwd: folder,
    env: { ...process.env, PATH: `${path.dirname(process.execPath)}:${process.env.PATH}` },
  })
  assert.match(stdout, /^Usage: writ /)
})

test('programs are checked against the declarations that come along', async () => {
  const user = path.dirname(installed)
  const program = `import { createClient } from '@writ/sdk'
import { verifyLog } from '@writ/tlog'
const client = createClient({ url: 'http://127.0.0.1:9' })
export const name: Promise<string> = client.auth.me().then((me) => me.username)
// @ts-expect-error a user name is no number
export const number: Promise<number> = client.auth.me().then((me) => me.username)
export const verify: Function = verifyLog
`
  assert.equal(await faultsOf(user, [program]), '')
})

test('the programs that the packages show are checked, too', async () => {
  const pages = published.map((name) => readFile(path.join(installed, '@writ', name, 'README.md'), 'utf8'))
  const shown = (await Promise.all(pages)).flatMap((page) =>
    [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, program]) => program!),
  )
  assert.equal(shown.length, 5)
  assert.equal(await faultsOf(path.dirname(installed), shown), '')
})

/** What the compiler says of programs beside the packages that they import; nothing if they are right. */
async function faultsOf(user: string, programs: readonly string[]): Promise<string> {
  await writeFile(path.join(user, 'package.json'), '{"type":"module"}')
  const files = programs.map((_, i) => `program-${i}.ts`)
  for (const [i, file] of files.entries()) await writeFile(path.join(user, file), programs[i]!)
  const options = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2024', '--module', 'nodenext']
  const roots = ['--types', 'node', '--typeRoots', path.join(modules, '@types')]
  const checked = run(path.join(modules, '.bin/tsc'), [...options, ...roots, ...files], { cwd: user })
  return checked.then(({ stdout }) => stdout).catch((error: { stdout: string }) => error.stdout)
}

test('a package holds compiled files only, says what Node it needs, and under which licence it is', async () => {
  for (const name of published) {
    const { engines, license } = await manifest(name)
    assert.deepEqual([engines.node, license], ['>=24', 'Apache-2.0'])
    const files = await readdir(path.join(installed, '@writ', name), { recursive: true })
    assert.deepEqual(
      files.filter((file) => /\.ts$/.test(file) && !/\.d\.ts$/.test(file)),
      [],
      'sources',
    )
    assert.deepEqual(
      files.filter((file) => /test/.test(file)),
      [],
      'tests',
    )
  }
})

test('a package imports only what it declares', async () => {
  for (const name of published) {
    const { dependencies = {} } = await manifest(name)
    const folder = path.join(installed, '@writ', name)
    for (const file of await readdir(folder, { recursive: true })) {
      if (!/\.(js|d\.ts)$/.test(file)) continue
      const text = await readFile(path.join(folder, file), 'utf8')
      for (const [, wanted] of text.matchAll(/^(?:import|export)[^'"]* from ['"]([^'".][^'"]*)['"]/gm)) {
        if (wanted?.startsWith('node:')) continue
        const dependency = /^(@[^/]+\/)?[^/]+/.exec(wanted ?? '')?.[0] ?? ''
        assert.ok(dependency in dependencies, `${name}/${file} imports ${wanted}`)
      }
    }
  }
})
