import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { LogStoreUnavailable } from '../../../server/src/audit/log-error.ts'
import { BlobStoreUnavailable } from '../../../server/src/platform/blobs/blobs.ts'
import { DatabaseUnavailable } from '../../../server/src/platform/db/database.ts'
import { inWords } from './found.ts'
import { foundZhCn } from './found-zh-cn.ts'
import { refusedZhCn } from './refused-zh-cn.ts'
import { verifiedZhCn } from './verified-zh-cn.ts'

const packages = path.join(import.meta.dirname, '../../..')
const say = (text: string) => inWords(text, [...refusedZhCn, ...foundZhCn, ...verifiedZhCn])

const sourcesOf = (pattern: string): string[] =>
  globSync(pattern, { cwd: packages })
    .filter((file) => !/\.test\.ts$/.test(file))
    .map((file) => readFileSync(path.join(packages, file), 'utf8'))

/** What stands in quotes behind any of these, without what holds a sentence of its own. */
const said = (sources: readonly string[], before: RegExp): string[] =>
  sources.flatMap((text) =>
    [...text.matchAll(new RegExp(`(?:${before.source})\\s*(['\`])(.+?)\\1\\s*[,;)}\\n]`, 'g'))].map(
      ([, , sentence = '']) => sentence,
    ),
  )

/** In Chinese, whatever the sentence names: a number, a word or a name. */
const isTold = (sentence: string): boolean =>
  ['17', 'x'].some((name) => {
    const filled = sentence.replaceAll(/\$\{(?:[^{}]|\{[^}]*\})*\}/g, name)
    const told = say(filled)
    return /\p{Script=Han}/u.test(told) && !/[a-z]{2,} [a-z]{2,} [a-z]{2,}/.test(told)
  })

test('whatever a verification of a log finds is told in Chinese', () => {
  const found = [
    ...said(sourcesOf('server/src/audit/*.ts'), /\breason:/),
    ...said(sourcesOf('tlog/src/{verify-log,checkpoint,note}.ts'), /reason[:=]|\bnew Fault\('\w+',|\breason =/),
  ].filter((sentence) => !/was dropped, but \$|^\$\{status\} for/.test(sentence))
  assert.ok(found.length >= 40, `${found.length} were found`)
  assert.deepEqual(
    found.filter((sentence) => !isTold(sentence)),
    [],
  )
})

test('why a dropped log is none is told in Chinese', () => {
  const found = said(sourcesOf('server/src/audit/drop-check.ts'), /\bunfit\(/)
  assert.ok(found.length >= 5, `${found.length} were found`)
  assert.deepEqual(
    found.filter((why) => !isTold(`log/x was dropped, but ${why}`)),
    [],
  )
})

test('what is wrong with a policy of witnesses is told in Chinese', () => {
  const found = said(sourcesOf('tlog/src/policy.ts'), /\bnew Error\(/).filter((sentence) => !/^line \$/.test(sentence))
  assert.ok(found.length >= 14, `${found.length} were found`)
  // A log and a witness are words of a sentence.
  const kinds = found.flatMap((sentence) => ['log', 'witness'].map((kind) => sentence.replace(/\$\{kind\}/, kind)))
  assert.deepEqual(
    kinds.filter((sentence) => !isTold(sentence)),
    [],
  )
  assert.equal(say('line 2 of the policy: this key is listed twice'), '策略第 2 行：此密钥列出了两次')
})

test('what does not work as it should is told in Chinese', () => {
  for (const text of [
    'ROW_MISSING at entry 3 of log/x: the log has entry 3, the database has no row for it',
    'LOG_CLOSED of log/x: log/x is closed and nothing continues it',
    'slow: it took 12 s to answer',
    'its clock is 40 s ahead of the clock of this server; one of the two is wrong',
    'its clock is 40 s behind the clock of this server; one of the two is wrong',
    'no answer for six seconds',
    new BlobStoreUnavailable('the store is not there any more').message,
    new BlobStoreUnavailable('ENOSPC').message,
    new LogStoreUnavailable('ECONNREFUSED').message,
    new DatabaseUnavailable(null).message,
    'away: ECONNREFUSED',
    'refused: 404 for writ.log/x',
  ])
    assert.ok(isTold(text), say(text))
})

test('why a file of handlers does not load is told in Chinese, and what its author says stays as it is', () => {
  const found = said(
    [
      ...sourcesOf('server/src/kinds/task/folder/{folder,child,sources}.ts'),
      ...sourcesOf('server/src/kinds/task/{contract,handler}.ts'),
    ],
    /\bnew Error\(/,
  ).filter(
    (sentence) => /handler|export|folder holds|load/.test(sentence) && !/\$\{fault|has no handler/.test(sentence),
  )
  assert.ok(found.length >= 6, `${found.length} were found`)
  assert.deepEqual(
    found.filter((sentence) => !isTold(sentence)),
    [],
  )
  const own = "Cannot find package 'left-pad' imported from sw.ts (sw.ts:3)"
  assert.equal(say(own), own)
})

for (const [text, chinese] of [
  ['the column actor_id of entry 12 differs from the log', '条目 12 的字段 actor_id 与日志不同'],
  ['the kept checkpoint: no signature by a known key', '保留的检查点：没有已知密钥的签名'],
  ['event 3 of the run 7 is not in the log, but event 4 is', '执行 7 的事件 3 不在日志中，事件 4 却在'],
  ['handler vlan.add is in b.ts already', '处理器 vlan.add 已在 b.ts 中'],
  [
    'handler sw.add: timout is no field of a handler; did you mean timeoutMs?',
    '处理器 sw.add：处理器没有字段 timout；是否为 timeoutMs？',
  ],
] as const)
  test(`"${text}" in Chinese`, () => assert.equal(say(text), chinese))
