import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'

const root = path.join(import.meta.dirname, '..')

/**
 * The rooms of the server from the ground up. A room may import what stands below it, never a neighbour and never upwards, and only
 * through the other's index.ts. `kinds/*` are rooms each: a kind never imports a kind.
 */
const floors: readonly (readonly string[])[] = [
  ['version'],
  ['platform'],
  ['config'],
  ['audit'],
  ['identity'],
  ['tickets', 'contracts', 'budgets', 'credentials', 'queue'],
  ['runs'],
  ['kinds/*'],
  ['doors', 'gateway', 'schedules', 'channels', 'insight', 'evidence'],
  ['app'],
  ['ops'],
  ['main', 'index'],
]

/** Files at the top of src and the room that they belong to. */
const topFiles: Record<string, string> = {
  'app.ts': 'app',
  'app-chores.ts': 'app',
  'app-engine.ts': 'app',
  'app-ready.ts': 'app',
  'app-spans.ts': 'app',
  'app-stores.ts': 'app',
  'serve.ts': 'main',
  'index.ts': 'index',
  'version.ts': 'version',
  'config.ts': 'config',
  'settings.ts': 'config',
  'setting-kinds.ts': 'config',
  'configured-tokens.ts': 'config',
  'live-settings.ts': 'config',
}

/** Doors into rooms beside their index.ts. */
const open: readonly RegExp[] = [
  /^platform\/[a-z-]+\.ts$/, // each is a thing of its own
  /^platform\/http\/(mount|client-address|gone|receive-file|event-stream)\.ts$/, // how every room serves HTTP and tells who is at the other end
  /^(config|live-settings|version|app)\.ts$/,
]

/** Further doors, for some only. */
const openTo: readonly { readonly who: RegExp; readonly what: RegExp; readonly why: string }[] = [
  { who: /^app\.ts$/, what: /^platform\/http\//, why: 'the composition root puts the server together' },
  { who: /(^|\/)store[a-z-]*\.ts$/, what: /^platform\/db\/tables\.ts$/, why: 'stores name the columns of their rows' },
  {
    who: /^doors\//,
    what: /^platform\/http\/(problem|docs|when-asked|json-body)\.ts$/,
    why: 'a door has errors, documents, bodies and validators of its own',
  },
  {
    who: /^evidence\/verify-job\.ts$/,
    what: /^(audit\/(verify|self-check)|runs\/store-untold)\.ts$/,
    why: 'a thread that begins with each verification loads nothing that serves',
  },
  { who: /^(config|settings)\.ts$/, what: /^platform\/blobs\/open\.ts$/, why: 'a type, without loading the store' },
]

/** Packages of this workspace, and who in the server may import them. */
const packages: Record<string, RegExp> = {
  '@writ/api': /./,
  '@writ/api/costs': /./,
  '@writ/api/exact-numbers': /^(platform\/http|kinds\/task\/(builtin|http|script))\//,
  '@writ/api/handler-fields': /^kinds\/task\/folder\//,
  '@writ/api/hidden': /^(audit\/day-file|channels\/message|runs\/routes|platform\/validation-fields)\.ts$/,
  '@writ/api/nearest': /^(audit\/event-types|identity\/permissions|config)\.ts$/,
  '@writ/api/step-name': /^kinds\/task\/step\.ts$/,
  '@writ/api/thrown': /./,
  // The formats of evidence: who keeps the log, who states something, who hands it out.
  '@writ/tlog': /^(audit|identity|tickets|runs|evidence)\//,
}

interface Source {
  /** Below packages/server/src. */
  readonly file: string
  readonly text: string
}

const sourcesOf = (pattern: string, base: string): Source[] =>
  globSync(pattern, { cwd: path.join(root, base) })
    .filter((file) => !/\.test\.ts$|(^|\/)test-[a-z-]+\.ts$/.test(file) && !/(^|\/)conformance\.ts$/.test(file))
    .sort()
    .map((file) => ({ file, text: readFileSync(path.join(root, base, file), 'utf8') }))

const server = sourcesOf('**/*.ts', 'packages/server/src')

/** The text without comments, so that a rule may be named in one. */
const codeOf = (text: string) => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1')

const importsOf = (text: string): string[] =>
  [...codeOf(text).matchAll(/\b(?:from|import\()\s*'([^']+)'|new URL\('(\.[^']+)'/g)].map(
    (match) => (match[1] ?? match[2])!,
  )

function roomOf(file: string): string {
  const top = topFiles[file]
  if (top !== undefined) return top
  const [first, second] = file.split('/')
  return first === 'kinds' ? `kinds/${second}` : first!
}

const floorOf = (room: string): number =>
  floors.findIndex((rooms) => rooms.includes(room) || (rooms.includes('kinds/*') && room.startsWith('kinds/')))

function faultOf(from: string, to: string): string | undefined {
  const [mine, theirs] = [roomOf(from), roomOf(to)]
  if (mine === theirs) return undefined
  if (floorOf(theirs) >= floorOf(mine)) return `${from} imports ${to}: ${mine} does not stand above ${theirs}`
  const through = to.endsWith('/index.ts') || open.some((door) => door.test(to))
  if (through || openTo.some(({ who, what }) => who.test(from) && what.test(to))) return undefined
  return `${from} imports ${to}: not through an index.ts`
}

test('every file of the server belongs to a room', () => {
  assert.deepEqual(
    server.filter(({ file }) => floorOf(roomOf(file)) === -1).map(({ file }) => file),
    [],
  )
})

test('rooms import downwards only, never sideways, and through index.ts', () => {
  const faults = server.flatMap(({ file, text }) =>
    importsOf(text)
      .filter((name) => /^\.+\/.*\.ts$/.test(name))
      .map((name) => faultOf(file, path.join(path.dirname(file), name)))
      .filter((fault) => fault !== undefined),
  )
  assert.deepEqual(faults, [])
})

test('packages of the workspace are imported where the table allows it', () => {
  const faults = server.flatMap(({ file, text }) =>
    importsOf(text)
      .filter((name) => name.startsWith('@writ/') && !packages[name]?.test(file))
      .map((name) => `${file} imports ${name}`),
  )
  assert.deepEqual(faults, [])
})

const inStore = /(^|\/)store[a-z-]*\.ts$|^queue\/|^audit\/|^platform\/db\//

test('SQL is written in stores only', () => {
  const sql =
    /\.sql[(<]|\bsql(<[^>]*>)?`|\.(selectFrom|updateTable|insertInto|deleteFrom)\(|\b(tx|db)\.(insert|lookup)[(<]/
  const faults = server
    .filter(({ file, text }) => !inStore.test(file) && sql.test(codeOf(text)))
    .map(({ file }) => file)
  assert.deepEqual(faults, [])
})

test('the environment is read in one place', () => {
  const readers = server.filter(({ text }) => /\bprocess\.env\b/.test(codeOf(text))).map(({ file }) => file)
  assert.deepEqual(readers, ['config.ts'])
})

test('the time is read in one place', () => {
  const readers = server.filter(({ text }) => /\bDate\.now\b|\bnew Date\(\)/.test(codeOf(text))).map(({ file }) => file)
  assert.deepEqual(readers, ['platform/clock.ts'])
})

/** `a.b = (c) => …`, also with a function that has no name. V8 allocates these in its old generation, with all that they see. */
const intoProperty =
  /^\s*[\w.#\]]+[.\]#][\w\]]* (\?\?)?= (async )?(\([^()]*\)|\w+) =>|^\s*[\w.#\]]+\.#?\w+ (\?\?)?= (async )?function\b/m

// docs/decisions/0085-what-grows-old.md
test('on the way of tasks and statements no function is written into a property', () => {
  const way = /^(audit|platform\/db|queue|runs|kinds\/task)\/[^/]+\.ts$/
  const faults = server.filter(({ file, text }) => way.test(file) && intoProperty.test(codeOf(text)))
  assert.deepEqual(
    faults.map(({ file }) => file),
    [],
  )
})

test('only the main room ends the process and listens to signals', () => {
  // A process that only verifies is a program of its own, and so is one of handlers.
  const own = ['evidence/verify-child.ts', 'kinds/task/folder/child.ts']
  const programs = server.filter(({ file }) => !own.includes(file))
  const users = programs.filter(({ text }) => /\bprocess\.(exit|on|once)\(/.test(codeOf(text))).map(({ file }) => file)
  assert.ok(users.length > 0)
  assert.deepEqual(
    users.filter((file) => roomOf(file) !== 'main'),
    [],
  )
})

for (const name of ['tlog', 'api']) {
  test(`packages/${name} does no I/O`, () => {
    const faults = sourcesOf('**/*.ts', `packages/${name}/src`)
      .filter(({ text }) => importsOf(text).some((one) => one.startsWith('node:')) || /\bprocess\./.test(codeOf(text)))
      .map(({ file }) => file)
    assert.deepEqual(faults, [])
  })
}

test('client and command line load no schemas, which are two thirds of what a command would load', () => {
  const clients = ['sdk', 'cli'].flatMap((name) => sourcesOf('**/*.ts', `packages/${name}/src`))
  assert.ok(clients.length > 70)
  const loading = /\b(?:import|export)\s+(?!type\b)[^'"();]*?'(@writ\/api|typebox(?:\/[^']+)?)'/g
  const faults = clients.flatMap(({ file, text }) =>
    [...codeOf(text).matchAll(loading)].map((match) => `${file} loads ${match[1]}`),
  )
  assert.deepEqual(faults, [])
})

const pages = sourcesOf('**/*.{ts,tsx}', 'packages/console/src')

test('the console knows the server by its API only, and runs in a browser', () => {
  assert.ok(pages.length > 20)
  const faults = pages.flatMap(({ file, text }) =>
    importsOf(text)
      .filter((name) => {
        if (name.startsWith('@writ/'))
          return !['@writ/api', '@writ/api/exact-numbers', '@writ/api/hidden', '@writ/sdk', '@writ/tlog'].includes(name)
        const outside = name.startsWith('.') && path.join(path.dirname(file), name).startsWith('..')
        // The first run shows the files of examples/ as they are.
        return name.startsWith('node:') || (outside && !/\/examples\/[^/]+\?raw$/.test(name))
      })
      .map((name) => `${file} imports ${name}`),
  )
  assert.deepEqual(faults, [])
  const users = pages.filter(({ text }) => /\bprocess\.|\bBuffer\b/.test(codeOf(text))).map(({ file }) => file)
  assert.deepEqual(users, [])
})

test('the console writes no markup of its own making, and keeps things in the browser in one place', () => {
  const users = (word: RegExp) => pages.filter(({ text }) => word.test(codeOf(text))).map(({ file }) => file)
  assert.deepEqual(users(/dangerouslySetInnerHTML|innerHTML|outerHTML|insertAdjacentHTML|\beval\(|new Function/), [])
  assert.deepEqual(users(/localStorage|sessionStorage|indexedDB|document\.cookie/), ['app/page-settings.ts'])
  // Answers come through the client; the one fetch is the one that it is given.
  assert.deepEqual(users(/\bfetch\(/), ['app/client.ts'])
  // The server may stand below a path of its host, which is known there.
  assert.deepEqual(users(/['"`(]\/(app|api|log|readyz|approve)\b/), ['app/page-settings.ts'])
})

test('the rules above see what they forbid', () => {
  for (const line of [
    '    this.callback = (error) => this.end(error)',
    'q.cb ??= async () => {',
    'q.#cb = function () {',
  ])
    assert.match(line, intoProperty)
  for (const line of [
    '  begin = then',
    'const f: A["b"] = (c) =>',
    '  work.timer = setTimeout(() => stop(), 5)',
    '  wake = () => {',
  ])
    assert.doesNotMatch(line, intoProperty)
  assert.match(faultOf('runs/x.ts', 'kinds/proof/index.ts') ?? '', /does not stand above/)
  assert.match(faultOf('kinds/a/x.ts', 'kinds/b/index.ts') ?? '', /does not stand above/)
  assert.match(faultOf('tickets/x.ts', 'queue/index.ts') ?? '', /does not stand above/)
  assert.match(faultOf('runs/x.ts', 'tickets/store.ts') ?? '', /not through an index/)
  assert.equal(faultOf('runs/x.ts', 'tickets/index.ts'), undefined)
  assert.deepEqual(importsOf("import { a } from './a.ts' // from './b.ts'\nexport * from './c.ts'"), [
    './a.ts',
    './c.ts',
  ])
})

test('what a file imports is declared by its package, or by that of the workspace where it is a test or a benchmark', () => {
  const declaredBy = (folder: string): ReadonlySet<string> => {
    const manifest = JSON.parse(readFileSync(path.join(root, folder, 'package.json'), 'utf8'))
    const { name, dependencies, devDependencies, peerDependencies } = manifest
    return new Set([
      name,
      ...[dependencies, devDependencies, peerDependencies].flatMap((some) => Object.keys(some ?? {})),
    ])
  }
  const packages = globSync('packages/*/package.json', { cwd: root }).map(path.dirname)
  const ours = packages.map((folder) => `@writ/${path.basename(folder)}`)
  const whole = new Set([...declaredBy('.'), ...ours])
  const undeclared: string[] = []
  for (const folder of [...packages, 'bench', 'test', 'docs']) {
    const own = /^(test|docs)$/.test(folder) ? whole : declaredBy(folder)
    const isOfWhole = (file: string) => folder === 'bench' || /\.test\.ts$/.test(file)
    const files = globSync('**/*.{ts,tsx,js}', {
      cwd: path.join(root, folder),
      exclude: ['**/node_modules', '**/dist'],
    })
    for (const file of files) {
      const text = readFileSync(path.join(root, folder, file), 'utf8')
      for (const [, still, asked] of text.matchAll(
        /^(?:import|export)\b[^'"`]* from '([^'.][^']*)'|\bimport\('([^'.$][^']*)'\)/gm,
      )) {
        const wanted = still ?? asked!
        if (wanted.startsWith('node:')) continue
        const name = /^(@[^/]+\/)?[^/]+/.exec(wanted)![0]
        if (!own.has(name) && !(isOfWhole(file) && whole.has(name))) undeclared.push(`${folder}/${file}: ${name}`)
      }
    }
  }
  assert.deepEqual(undeclared, [])
})
