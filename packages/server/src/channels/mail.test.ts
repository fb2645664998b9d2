import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type SmtpAnswer, startSmtpServer } from '../../../../test/channels/smtp-server.ts'
import { Secret } from '../platform/secret.ts'
import { createMail, needsTls } from './mail.ts'

const letter = { to: ['ops@example.com'], subject: '更换主交换机', text: '好\n.\n', messageId: '<a@writ.invalid>' }
const limit = { stepMs: 5_000, wholeMs: 10_000 }

for (const [url, needs] of [
  ['smtp://user:word@mail.example.com:587', true],
  ['smtp://user:word@10.0.0.7:25', true],
  ['smtp://mail.example.com', false],
  ['smtp://user:word@localhost:2525', false],
  ['smtp://user:word@127.0.0.1:2525', false],
  ['smtp://user:word@[::1]:2525', false],
  ['smtp://user:word@localhost.example.com', true],
  ['smtp://user:word@mail.example.com?requireTLS=false', false],
  ['smtps://user:word@mail.example.com', false],
] as const)
  test(`a password goes to another machine under TLS: ${url}`, () => assert.equal(needsTls(url), needs))

test('where TLS is needed and not offered, nothing is said to the server', async () => {
  await using smtp = await startSmtpServer()
  const url = `${smtp.url.replace('//', '//user:word@')}?requireTLS=true`
  await assert.rejects(createMail(new Secret(url), 'writ@example.com').send(letter, limit), /STARTTLS|TLS/)
  assert.deepEqual(smtp.letters, [])
})

test('a server that takes its time over every word is not waited for longer than the whole may take', async () => {
  await using smtp = await startSmtpServer()
  // Each answer comes well within the limit of a step.
  smtp.delayMs = 150
  const send = createMail(new Secret(smtp.url), 'writ@example.com').send(letter, { stepMs: 5_000, wholeMs: 400 })
  await assert.rejects(send, { code: 'TIMEOUT', message: 'the mail server did not take the letter within 400 ms' })
  assert.deepEqual(smtp.letters, [])
})

test('any language arrives', async () => {
  await using smtp = await startSmtpServer()
  await createMail(new Secret(smtp.url), 'writ@example.com').send(letter, limit)
  const { content } = smtp.letters[0]!
  const word = /^Subject: =\?UTF-8\?(?:B\?([^?]*)|Q\?([^?]*))\?=$/im.exec(content)!
  const subject =
    word[1] === undefined
      ? decodeURIComponent(word[2]!.replaceAll('=', '%').replaceAll('_', ' '))
      : Buffer.from(word[1], 'base64').toString()
  assert.equal(subject, '更换主交换机')
})

/** Without an answer nothing is known but that the letter may have been taken: it is sent again under the same id. */
const refusals: [string, Partial<Record<'connect' | 'EHLO' | 'HELO' | 'MAIL' | 'DATA' | '.', SmtpAnswer>>, object][] = [
  ['is busy when it greets', { connect: { say: '421 busy' } }, { responseCode: 421 }],
  ['refuses both greetings', { EHLO: { say: '550 no' }, HELO: { say: '550 no' } }, { responseCode: 550 }],
  ['does not take the sender now', { MAIL: { say: '451 later' } }, { responseCode: 451 }],
  ['never takes the sender', { MAIL: { say: '550 5.7.1 no' } }, { responseCode: 550 }],
  ['takes no content', { DATA: { say: '554 no' } }, { responseCode: 554 }],
  ['is full when it has read it', { '.': { say: '452 full' } }, { responseCode: 452 }],
  ['answers in no words of SMTP', { MAIL: { say: 'hello?' } }, { code: 'EENVELOPE' }],
  ['cuts the connection at once', { connect: 'cut' }, { code: 'ECONNECTION' }],
  ['cuts the connection when it has read it', { '.': 'cut' }, { code: 'ECONNECTION' }],
  ['says nothing at all', { connect: 'silent' }, { code: 'ETIMEDOUT' }],
  ['says nothing when it has read it', { '.': 'silent' }, { code: 'ETIMEDOUT' }],
  ['greets and greets', { connect: 'endless' }, { code: 'EPROTOCOL' }],
]
for (const [does, answers, error] of refusals)
  test(`a mail server that ${does} has not taken the letter`, async () => {
    await using smtp = await startSmtpServer()
    smtp.answers = answers
    const send = createMail(new Secret(smtp.url), 'writ@example.com').send(letter, { stepMs: 500, wholeMs: 10_000 })
    await assert.rejects(send, error)
    assert.deepEqual(smtp.letters, [])
  })

test('a mail server of before ESMTP takes the letter', async () => {
  await using smtp = await startSmtpServer()
  smtp.answers = { EHLO: { say: '502 what?' } }
  await createMail(new Secret(smtp.url), 'writ@example.com').send(letter, limit)
  assert.equal(smtp.letters.length, 1)
})
