import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event } from '@writ/api'
import { faultOf, writeLetter } from './message.ts'

const answer = (status: number, body: string) => ({ status, headers: {}, body: Buffer.from(body) })

for (const [body, fault] of [
  ['ok', null],
  ['', null],
  ['1', null],
  ['{"ok":true}', null],
  ['{"success":true,"error":null}', null],
  ['{"errcode":0,"errmsg":"ok","error":""}', null],
  ['["error"]', null],
  ['{"ok":false}', 'SLACK_REFUSED'],
  ['{"ok":false,"error":"no_text"}', 'SLACK_NO_TEXT'],
  ['{"success":false,"error":"Invalid integration id or token provided."}', 'SLACK_REFUSED'],
  ['{"error":{"code":4}}', 'SLACK_REFUSED'],
  ['{"result":"error","msg":"Stream does not exist"}', 'SLACK_REFUSED'],
  ['{"errcode":40035,"errmsg":"missing parameter msgtype"}', 'SLACK_40035'],
] as const)
  test(`a chat of Slack's form that answers 200 with ${body || 'nothing'} ${fault ? 'refused' : 'was told'}`, () => {
    assert.equal(faultOf('slack', answer(200, body)), fault)
    // Others that take our events may say what they like.
    assert.equal(faultOf('cloudevents', answer(200, body)), null)
  })

for (const [body, fault] of [
  ['{"code":0,"msg":"success"}', null],
  ['{"StatusCode":0,"StatusMessage":"success"}', null],
  ['{"code":19021,"msg":"sign match fail"}', 'FEISHU_19021'],
  ['{"StatusCode":9499}', 'FEISHU_9499'],
  // An error is shown as it is: nothing that was echoed may get into it.
  ['{"code":"you sent hook/canary-in-the-path"}', 'FEISHU_ANSWER_UNREADABLE'],
  ['{"code":null}', 'FEISHU_ANSWER_UNREADABLE'],
  ['{"StatusCode":[0]}', 'FEISHU_ANSWER_UNREADABLE'],
  ['null', 'FEISHU_ANSWER_UNREADABLE'],
  ['<html>', 'FEISHU_ANSWER_UNREADABLE'],
] as const)
  test(`a Feishu or Lark bot that answers 200 with ${body} ${fault ? 'refused' : 'was told'}`, () => {
    assert.equal(faultOf('feishu', answer(200, body)), fault)
  })

test('the status comes first', () => {
  assert.equal(faultOf('slack', answer(404, '{"ok":false,"error":"no_service"}')), 'HTTP_404')
})

test('the subject of a letter is one line that shows what is hidden in it, and ends with a whole character', () => {
  const { subject } = writeLetter({
    id: '1',
    data: { event_type: 'ticket.created', action: `Opened: a\r\nBcc: b\u202Egpj.exe ${'😀'.repeat(100)}` },
  } as Event)
  assert.match(subject, /^\[Writ\] ticket\.created: Opened: a Bcc: b\[U\+202E\]gpj\.exe (😀)+$/u)
})
