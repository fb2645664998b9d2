// What the documents point at exists: files, anchors, error codes, settings. What is generated is up to date. And both languages say the same.
import assert from 'node:assert/strict'
import { existsSync, globSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { auditEvents, errors } from '@writ/api'
import { errorsFile, errorsPage } from '../docs/generate-errors.ts'
import { asyncApi, eventsFile, eventsPage } from '../docs/generate-events.ts'
import { dispatchSettings, settings } from '../packages/server/src/settings.ts'

const root = path.join(import.meta.dirname, '..')
const find = (patterns: string[]) =>
  globSync(patterns, { cwd: root, exclude: (name) => name === 'node_modules' || name === 'data' }).sort()
const files = find(['*.md', 'docs/**/*.md', 'examples/**/*.md', 'packages/*/*.md', 'deploy/**/*.md', 'bench/**/*.md'])
const pages = new Map<string, string>()
for (const file of files) pages.set(file, await readFile(path.join(root, file), 'utf8'))

/** Without code blocks: what stands in them is no link and no heading. */
const prose = (page: string) => page.replace(/^(```+)[^\n]*\n[\s\S]*?^\1\s*$/gm, '')

/** The anchors of a page as GitHub makes them: of headings, with a number where one occurs twice, and those set by hand. */
function anchorsOf(page: string): Set<string> {
  const seen = new Map<string, number>()
  const anchors = new Set([...page.matchAll(/<a id="([^"]+)">/g)].map((match) => match[1]!))
  for (const [, heading = ''] of prose(page).matchAll(/^#{1,6} +(.+?) *$/gm)) {
    const slug = heading
      .toLowerCase()
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .replace(/[^\p{L}\p{N}\p{M}_\- ]/gu, '')
      .replaceAll(' ', '-')
    const before = seen.get(slug) ?? 0
    seen.set(slug, before + 1)
    anchors.add(before === 0 ? slug : `${slug}-${before}`)
  }
  return anchors
}

for (const [file, page] of pages) {
  test(`links of ${file} lead somewhere`, async () => {
    const text = prose(page).replace(/`[^`\n]*`/g, '')
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^(https?|mailto):/.test(target)) continue
      const [where = '', anchor] = decodeURI(target).split('#')
      const there = where === '' ? file : path.join(path.dirname(file), where)
      assert.ok(existsSync(path.join(root, there)), `${target}: no such file`)
      assert.ok(!there.startsWith('..'), `${target}: outside of the repository`)
      if (anchor === undefined || !there.endsWith('.md')) continue
      assert.ok(anchorsOf(pages.get(there) ?? '').has(anchor), `${target}: no such anchor`)
    }
  })
}

for (const language of ['en', 'zh-CN'] as const) {
  test(`${errorsFile(language)} is what node docs/generate-errors.ts writes, with every code`, async () => {
    const page = await readFile(path.join(root, 'docs', errorsFile(language)), 'utf8')
    // Not assert.equal: its message would be both pages.
    assert.ok(page === errorsPage(language), 'out of date')
    for (const code of Object.keys(errors)) assert.match(page, new RegExp(`<a id="${code}"></a>`))
  })
}

test('docs/events.md, its twin and docs/asyncapi.json are what node docs/generate-events.ts writes', async () => {
  for (const language of ['en', 'zh-CN'] as const)
    assert.ok(
      (await readFile(path.join(root, 'docs', eventsFile(language)), 'utf8')) === eventsPage(language),
      language,
    )
  const written = JSON.parse(await readFile(path.join(root, 'docs/asyncapi.json'), 'utf8')) as unknown
  assert.deepEqual(written, JSON.parse(JSON.stringify(asyncApi())))
})

/** Variables of the command line, which the server does not read. */
const ofCli = ['WRIT_URL', 'WRIT_TOKEN', 'WRIT_PROJECT', 'WRIT_CONTEXT']
/** And those of tests and development. */
const ofTests = ['WRIT_UPDATE_SNAPSHOTS', 'WRIT_DEV_SERVER', 'WRIT_SCREENSHOTS']

test('every variable and code that a document names exists', async () => {
  const declared = [...Object.values(settings), ...Object.values(dispatchSettings)]
  const variables = declared.flatMap(({ env, kind }) => [
    ...env,
    ...(kind.secret ? env.map((name) => `${name}_FILE`) : []),
  ])
  const sources = await Promise.all(
    find(['packages/*/src/**/*.ts', 'test/**/*.ts']).map((file) => readFile(path.join(root, file), 'utf8')),
  )
  const codes = sources.flatMap((text) =>
    [...text.matchAll(/'([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)'/g)].map((match) => match[1]!),
  )
  const benches = await Promise.all(find(['bench/**/*.ts']).map((file) => readFile(path.join(root, file), 'utf8')))
  const ofBenches = benches.flatMap((text) =>
    [...text.matchAll(/process\.env\.(BENCH_\w+)/g)].map((match) => match[1]!),
  )
  const composition = await readFile(path.join(root, 'deploy/compose.yaml'), 'utf8')
  const ofComposition = [...composition.matchAll(/\$\{(\w+)/g)].map((match) => match[1]!)
  const known = new Set([
    ...variables,
    ...ofComposition,
    ...ofCli,
    ...ofTests,
    ...ofBenches,
    'WRIT_CONFIG',
    'CRON_TZ', // of crontabs
    'NODE_EXTRA_CA_CERTS', // Node's own
    ...Object.keys(errors),
    ...codes,
  ])
  for (const [file, page] of pages) {
    const named = [
      ...[...page.matchAll(/`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`/g)].map((match) => match[1]!),
      ...[...page.matchAll(/\bWRIT_[A-Z0-9_]+\b/g)].map((match) => match[0]),
      ...[...page.matchAll(/^ *(?:export +)?([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)=/gm)].map((match) => match[1]!),
    ]
    for (const name of named) assert.ok(known.has(name), `${file} names ${name}, which does not exist`)
  }
})

test('every audit event that a document names exists', () => {
  const groups = new Set(Object.keys(auditEvents).map((type) => type.split('.')[0]))
  for (const [file, page] of pages) {
    for (const [, type = ''] of page.matchAll(/`([a-z_]+\.[a-z_]+)`/g)) {
      if (!groups.has(type.split('.')[0]) || /\.(ts|md|json|yaml|csv|txt|db)$/.test(type)) continue
      assert.ok(type in auditEvents || isElsewhere(type), `${file} names the event ${type}, which does not exist`)
    }
  }
})

// Settings of writ.yaml and operations have the same shape.
const isElsewhere = (name: string) =>
  [...Object.values(settings), ...Object.values(dispatchSettings)].some(({ key }) => key === name)

/** Pages for people in English alone: README.zh-CN.md names them as such. */
const englishOnly = ['docs/deviations.md', 'docs/lifecycles.md']
/** Where the Chinese page of an English one stands. */
function twinOf(file: string): string {
  if (file.endsWith('README.md')) return file.replace('README.md', 'README.zh-CN.md')
  if (file === 'docs/errors.md') return 'docs/errors.zh-CN.md'
  return file.replace(/^docs\//, 'docs/zh-CN/')
}

/** The levels of a page's headings, in their order: "1223". */
const levelsOf = (page: string) => [...prose(page).matchAll(/^(#{1,6}) /gm)].map((match) => match[1]!.length).join('')

/** The blocks of a page, each with its language and its lines, without comments and indentation. */
const blocksOf = (page: string) =>
  [...page.matchAll(/^ *```(\w*)\n([\s\S]*?)^ *```$/gm)].map(([, language = '', body = '']) => ({
    language,
    lines: body
      .split('\n')
      .map((line) => line.trim().replace(/(^|\s+)(#|\/\/|--) .*$/, ''))
      .filter((line) => line !== ''),
  }))

/** A line in pieces: what is typed as it stands, and texts in quotes or placeholders, which may be translated. */
const piecesOf = (line: string) => line.split(/("[^"]*"|'[^'{}]*'|<[^<>]*>)/)
/** Whether a line is the other, but for such texts as stand in Chinese. */
function saysTheSame(english: string, chinese: string): boolean {
  const [there, here] = [piecesOf(english), piecesOf(chinese)]
  const translated = (index: number) => index % 2 === 1 && /\p{Script=Han}/u.test(here[index]!)
  return there.length === here.length && there.every((piece, index) => piece === here[index] || translated(index))
}

const forBoth = files.filter(
  (file) =>
    /^((packages\/\w+\/)?README\.md|docs\/([\w-]+|howto\/[\w-]+)\.md)$/.test(file) && !englishOnly.includes(file),
)

for (const file of forBoth.filter((file) => file !== 'docs/errors.zh-CN.md')) {
  test(`${file} stands in Chinese too, with the same headings and the same commands`, () => {
    const [english, chinese] = [pages.get(file)!, pages.get(twinOf(file))]
    assert.ok(chinese !== undefined, `${twinOf(file)} is not there`)
    assert.equal(levelsOf(chinese), levelsOf(english), 'levels of headings')
    const [there, here] = [blocksOf(english), blocksOf(chinese)]
    assert.deepEqual(
      here.map(({ language }) => language),
      there.map(({ language }) => language),
      'blocks',
    )
    for (const [block, { lines }] of there.entries()) {
      assert.equal(here[block]!.lines.length, lines.length, `lines of block ${block + 1}, which begins "${lines[0]}"`)
      for (const [index, line] of lines.entries()) {
        const twin = here[block]!.lines[index]!
        assert.ok(saysTheSame(line, twin), `block ${block + 1}: "${line}" is "${twin}" there`)
      }
    }
  })
}

test('a document is in one piece and not empty', async () => {
  for (const file of files) {
    const { size } = await stat(path.join(root, file))
    assert.ok(size > 100, file)
    assert.equal((pages.get(file)!.match(/^```/gm) ?? []).length % 2, 0, `${file}: a code block is not closed`)
  }
})
