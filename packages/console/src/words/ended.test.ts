import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { endedZhCn } from './ended-zh-cn.ts'
import { inWords } from './found.ts'

const server = path.join(import.meta.dirname, '../../../server/src')
const say = (text: string) => inWords(text, endedZhCn)

/** Sentences with which the server itself ends tasks, wherever they stand: behind a code, or as the error of an ending. */
function sentences(): string[] {
  const behindCode = /(?:ended|new TaskError|never)\(\s*(?:'\w+',\s*)?'[A-Z_]+',\s*(['"`])(.+?)\1\s*[,)\n]/g
  const asError = /errorCode: '[A-Z_]+',\s*(?:error|summary): (['"`])(.+?)\1,?\n/g
  return globSync('kinds/task/**/*.ts', { cwd: server })
    .filter((file) => !file.endsWith('.test.ts'))
    .flatMap((file) => {
      const text = readFileSync(path.join(server, file), 'utf8')
      return [...text.matchAll(behindCode), ...text.matchAll(asError)].map(([, , said = '']) => said)
    })
    .filter((said) => !said.startsWith('${said') && !said.startsWith('${shown'))
}

test('however the server ends a task, it is told in Chinese', () => {
  const found = sentences()
  assert.ok(found.length >= 20, `${found.length} were found`)
  const english = found.filter((said) => {
    // What a sentence names is a number where one is counted, and else a word.
    const filled = ['17', 'x'].map((name) => say(said.replaceAll(/\$\{(?:[^{}]|\{[^}]*\})*\}/g, name)))
    return !filled.some((told) => /\p{Script=Han}/u.test(told))
  })
  assert.deepEqual(english, [])
})

for (const [text, said] of [
  ['Cancelled: 派发了两次', '已取消：派发了两次'],
  [
    'The number at result.orders.0.id would not keep all its digits: it goes into text, in quotes',
    'result.orders.0.id 处的数无法保留全部位数：请写成带引号的文本',
  ],
  ['The result does not fit: result.port must be integer', '结果不符合约定：result.port must be integer'],
  ['hooks.example answered 503: busy', 'hooks.example 答复 503：busy'],
  ['it started nothing 10 times in a row, the last time X', '连续 10 次未能启动任务，最后一次为 X'],
  ['its owner may not dispatch tasks here any more', '计划所用名义的人已无权在此派发任务'],
  ['switch did not answer', 'switch did not answer'],
] as const)
  test(`"${text}" in Chinese`, () => assert.equal(say(text), said))
