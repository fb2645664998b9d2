import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errors, patternWords } from '@writ/api'
import { inWords } from './found.ts'
import { foundZhCn } from './found-zh-cn.ts'
import { refusedZhCn } from './refused-zh-cn.ts'
import { zhCn } from './zh-cn.ts'

const say = (text: string) => inWords(text, [...refusedZhCn, ...foundZhCn])

test('every refusal of the server is told in Chinese, with what it names', () => {
  const english = Object.entries(errors).filter(([code, { text }]) => {
    if (code in zhCn.codes) return false
    const facts = new Map([...text.matchAll(/\{(\w+)\}/g)].map(([, name = ''], at) => [name, `X${at}Y`]))
    const said = say(text.replace(/\{(\w+)\}/g, (_, name: string) => facts.get(name) ?? ''))
    return !/\p{Script=Han}/u.test(said) || ![...facts.values()].every((fact) => said.includes(fact))
  })
  assert.deepEqual(
    english.map(([code]) => code),
    [],
  )
})

test('what a field must be is told in Chinese, with its numbers', () => {
  const english = [...new Set(patternWords.values())].filter((what) => {
    const said = say(`must be ${what}`)
    return !/\p{Script=Han}/u.test(said) || !(what.match(/\d{2,}/g) ?? []).every((number) => said.includes(number))
  })
  assert.deepEqual(english, [])
})

for (const [text, said] of [
  [
    'This server may not call that address: 10.0.0.5 is at 10.0.0.5, which is not a public address; WRIT_EGRESS_ALLOW would have to name it.',
    '服务器不得访问该地址：10.0.0.5 位于 10.0.0.5，不是公网地址；须在 WRIT_EGRESS_ALLOW 中写明。',
  ],
  ['This signing key is revoked already.', '此签名密钥已经是“已吊销”。'],
  ['Legal hold 01a2 on ticket 7 does not allow this.', '对工单 #7 的法律保全 01a2 不允许此操作。'],
  ['the receiver answered 410 Gone', '接收方答复 410 Gone（不再接收）'],
  ['only auditors and admins get the payload', '只有审计员和管理员能得到文本'],
  ['Invalid value for minute: 61', '分钟的值无效：61'],
  ['must be string,null', '类型必须是 string,null'],
  ['there is no event "run.fail"; did you mean run.failed?', '没有事件“run.fail”；是否为 run.failed？'],
] as const)
  test(`"${text}" in Chinese`, () => assert.equal(say(text), said))
