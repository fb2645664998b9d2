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

test('what the validator finds is told in Chinese, whatever the keyword', () => {
  const english = [
    'must have at most 255 characters',
    'must have at most 1 character',
    'must have at least 3 characters',
    'must have at most 20 items',
    'must have at least 1 field',
    'must be at least 1',
    'must be at most 100',
    'must be more than 0',
    'must be less than 1.5',
    'must be a multiple of 5',
    'must be "proof"',
    'must be one of a, b',
    'must have b, c beside a',
    'must name nothing twice',
    'must be something else: what is there is excluded',
    'must fit one of the shapes that are allowed, and only one',
    'must fit one of the shapes that are allowed',
    'must fit what its other fields ask for',
    'must have an item that is asked for',
    'must have no further items',
    'must have no further fields',
    'must have no fields with other names than are allowed',
    'must be left out',
    'must match pattern "^a$"',
    'must be a date, such as 2026-05-17',
    'must be a time of day with its zone, such as 09:30:00Z',
    'must be a duration as in ISO 8601, such as PT15M',
    'must be an IPv4 address',
    'must be a host name',
    'must be a regular expression',
    'must be given once',
    'must be left out where a cursor says what comes next',
    'must not be earlier than created_after',
    'must be a number that keeps all its digits; longer ones go into text, in quotes',
    'must have no half of a surrogate pair (\\ud800 to \\udfff)',
    'must be UTF-8',
    'must be nested at most 200 deep',
    'must have no field called __proto__, nor constructor with prototype in it',
    'unknown field',
    'required',
  ].filter((text) => !/\p{Script=Han}/u.test(say(text)))
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
