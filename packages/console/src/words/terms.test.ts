/** One Chinese word for one thing: what else it has been called, here and in the documents. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'

const root = path.join(import.meta.dirname, '../../../..')
const read = (folder: string, name: RegExp) =>
  readdirSync(path.join(root, folder))
    .filter((file) => name.test(file))
    .map((file) => [`${folder}/${file}`, readFileSync(path.join(root, folder, file), 'utf8')] as const)

const console = read('packages/console/src/words', /zh-cn.*\.ts$/)
const documents = [
  ...read('docs/zh-CN', /\.md$/),
  ...read('docs/zh-CN/howto', /\.md$/),
  ...read('docs', /\.zh-CN\.md$/),
  ...read('.', /\.zh-CN\.md$/),
]

/** Where one of these stands, as `file:line: text`. */
const found = (where: readonly (readonly [string, string])[], other: RegExp): string[] =>
  where.flatMap(([file, text]) =>
    text.split('\n').flatMap((line, i) => (other.test(line) ? [`${file}:${i + 1}: ${line.trim()}`] : [])),
  )

for (const [thing, word, other] of [
  ['a worker', 'worker', /执行进程|工作进程|工作者/],
  ['a role', '审计员', /审计(?:、|和)管理员|审计人员/],
  ['a legal hold', '法律保全', /法律保留|诉讼保留/],
  ['a handler', '处理器', /处理程序/],
  ['a dead letter', '死信', /死讯|死亡信件/],
  ['a witness', '见证方', /见证者|见证人/],
  ['an artifact', '文件', /附件/],
  ['a run that is judged', '证据检查', /证据检测|证据校验/],
] as const)
  test(`${thing} is called ${word}`, () => assert.deepEqual(found([...console, ...documents], other), []))

// Programs, scripts and servers run too (运行); in the console only runs and tasks do.
test('a run is called 执行 in the console, also while it lasts', () =>
  assert.deepEqual(found(console, /运行(?!脚本)/), []))

test('the policy of a project is called 策略; 规则 are those of a rule set', () =>
  assert.deepEqual(
    found([...console, ...documents], /(?:项目|现行|新)的?规则(?!集)|规则(?:要求|变更|更改)|四眼规则/),
    [],
  ))

test('what is left open ends in six dots', () => assert.deepEqual(found(console, /(?<!…)\p{Script=Han}…(?!…)/u), []))
