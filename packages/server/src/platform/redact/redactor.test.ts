import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { createRedactor, liveSecrets } from './redactor.ts'
import { type RedactionKind, redactionKinds } from './rules.ts'
import { createScanner, mayGoOn, SCANNED_BYTES } from './stream.ts'

const LIVE = 'a-live-secret-of-this-process'
const redactor = createRedactor({ key: Buffer.alloc(32, 7), live: [LIVE] })
const withoutHashes = (text: string) => redactor.text(text).replaceAll(/:[0-9a-f]{8}\]/g, ']')

// Put together here, so that no file of this repository looks like it holds a real key.
const key = (prefix: string, length: number) => prefix + 'Ab1Cd2Ef3Gh4'.repeat(10).slice(0, length)
const aws = `AKIA${'IOSFODNN7EXAMPLE'}`
const jwt = ['eyJhbGciOiJIUzI1NiJ9', 'eyJzdWIiOiIxMjM0NTY3ODkwIn0', 'dozjgNryP4J3jVmNHl0w5N'].join('.')
const block = `-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----`

const positives: Record<RedactionKind, [text: string, left: string][]> = {
  'private-key': [
    [`before ${block} after`, 'before [REDACTED:private-key] after'],
    ['-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg', '[REDACTED:private-key]'],
    ['-----BEGIN EC PRIVATE KEY-----', '[REDACTED:private-key]'],
  ],
  'cloud-key': [
    [`id ${aws}.`, 'id [REDACTED:cloud-key].'],
    [`my_${aws}`, 'my_[REDACTED:cloud-key]'],
    [key('AIza', 35), '[REDACTED:cloud-key]'],
    [`AccountName=a;AccountKey=${key('', 40)}==;x`, 'AccountName=a;AccountKey=[REDACTED:cloud-key];x'],
    [`https://a.blob/b?sv=1&sig=${key('', 43)}%3D&se=2`, 'https://a.blob/b?sv=1&sig=[REDACTED:cloud-key]&se=2'],
  ],
  'source-token': [
    [key('ghp_', 36), '[REDACTED:source-token]'],
    [key('gho_', 40), '[REDACTED:source-token]'],
    [key('github_pat_', 30), '[REDACTED:source-token]'],
    [key('glpat-', 20), '[REDACTED:source-token]'],
  ],
  'service-key': [
    [key('sk-', 24), '[REDACTED:service-key]'],
    [key('sk_live_', 24), '[REDACTED:service-key]'],
    [key('xoxb-', 24), '[REDACTED:service-key]'],
    [key('hf_', 30), '[REDACTED:service-key]'],
    [key('npm_', 36), '[REDACTED:service-key]'],
    [key('writ_', 12) + key('_', 49), '[REDACTED:service-key]'],
  ],
  authorization: [
    [`Authorization: Bearer ${key('', 20)}`, 'Authorization: Bearer [REDACTED:authorization]'],
    ['authorization: Basic dXNlcjpwYXNz', 'authorization: Basic [REDACTED:authorization]'],
    [`got ${jwt}!`, 'got [REDACTED:authorization]!'],
    ['Set-Cookie: sid=31d4d96e407aad42; Path=/; Secure', 'Set-Cookie: sid=[REDACTED:authorization]; Path=/; Secure'],
    ['Cookie: a=first1; b=second2', 'Cookie: a=[REDACTED:authorization]; b=[REDACTED:authorization]'],
  ],
  'url-credentials': [
    ['postgres://writ:s3cr3t@db:5432/writ', 'postgres://writ:[REDACTED:url-credentials]@db:5432/writ'],
    ['https://u:p%40ss@host/p', 'https://u:[REDACTED:url-credentials]@host/p'],
    ['https://u:Tr0ub4dor@sw.example/p', 'https://u:[REDACTED:url-credentials]@sw.example/p'],
    ['https://u:!tr0ub@sw.example/p', 'https://u:[REDACTED:url-credentials]@sw.example/p'],
  ],
  'assigned-secret': [
    ['password = hunter2', 'password = [REDACTED:assigned-secret]'],
    ['DB_PASSWORD=hunter2\nnext', 'DB_PASSWORD=[REDACTED:assigned-secret]\nnext'],
    ['{"api_key": "abc def"}', '{"api_key": "[REDACTED:assigned-secret]"}'],
    ['{\\"client_secret\\":\\"abcdef\\"}', '{\\"client_secret\\":\\"[REDACTED:assigned-secret]\\"}'],
    ["--token='abcdef'", "--token='[REDACTED:assigned-secret]'"],
    ['Server=db;Password=hunter2;Database=x', 'Server=db;Password=[REDACTED:assigned-secret];Database=x'],
    ['secretAccessKey: abcdef', 'secretAccessKey: [REDACTED:assigned-secret]'],
    ['密码：hunter2', '密码：[REDACTED:assigned-secret]'],
  ],
  contact: [
    ['ask jane.doe+x@mail.example.org.', 'ask [REDACTED:contact].'],
    ['call +49 (151) 2345-6789 now', 'call [REDACTED:contact] now'],
    ['电话 13800138000', '电话 [REDACTED:contact]'],
    ['call (555) 123-4567', 'call [REDACTED:contact]'],
  ],
  'personal-id': [
    ['card 4111 1111 1111 1111', 'card [REDACTED:personal-id]'],
    ['ssn 123-45-6789', 'ssn [REDACTED:personal-id]'],
    ['DE89 3704 0044 0532 0130 00', '[REDACTED:personal-id]'],
    ['id 11010519491231002X', 'id [REDACTED:personal-id]'],
  ],
  'live-secret': [[`it is ${LIVE}, keep it`, 'it is [REDACTED:live-secret], keep it']],
}

for (const kind of redactionKinds)
  for (const [text, left] of positives[kind])
    test(`${kind}: ${JSON.stringify(text.slice(0, 50))}`, () => assert.equal(withoutHashes(text), left))

const nearMisses = [
  'Port 17 of sw-3: replaced at 2026-11-25T22:53:05.000Z by run 0192a1b2-1234-7890-8123-456789012345',
  `sha256 ${'0123456789abcdef'.repeat(4)} of 1732575185000 ms`,
  '-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----',
  'AKIASHORT and XAKIAIOSFODNN7EXAMPLE',
  'task-force-of-twenty-people-and-more, disk-usage-of-the-database',
  'Basic configuration of the switch; bearer of news',
  'eyJust.a.word',
  'see https://host/path and ssh://git@host/x',
  'password=$DB_PASSWORD token: <your token> secret = ********',
  'The secretary: Jane. The tokenizer: fast.',
  'service password-encryption',
  'pkg@1.2.3, @types/node, noreply@example.org',
  '4111 1111 1111 1112 is no card; 192.168.100.200 and 10.0.0.1 are addresses',
  'GB83WEST12345698765432, 000-12-3456, 110105194912310021',
  '机柜四已断电，端口十七已更换：请看备注',
  'a-very-long-file-name-with-words-and-dashes-but-nothing-inside.cfg',
]
for (const text of nearMisses)
  test(`stays: ${JSON.stringify(text.slice(0, 60))}`, () => assert.equal(redactor.text(text), text))

test('equal secrets leave equal marks, in whatever they stand; another key leaves others', () => {
  const one = redactor.text('password=hunter2x').split('=')[1]
  assert.equal(redactor.text('{"secret":"hunter2x"}'), `{"secret":"${one}"}`)
  assert.notEqual(redactor.text('password=hunter2y').split('=')[1], one)
  assert.notEqual(
    createRedactor({ key: Buffer.alloc(32, 8) })
      .text('password=hunter2x')
      .split('=')[1],
    one,
  )
})

const all = Object.values(positives).flatMap((list) => list.map(([text]) => text))

test('redacting twice changes nothing more, however texts are put together', () => {
  let seed = 20261125
  const random = (n: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return seed % n
  }
  const glue = [
    '',
    ' ',
    '\n',
    '_',
    '-',
    ';',
    '"',
    '\\"',
    '4111111111111111',
    'AKIA',
    'password=',
    '://',
    '@',
    '%3D',
    '[REDACTED:contact:00000000]',
  ]
  for (let i = 0; i < 3_000; i++) {
    let text = ''
    for (let part = 0; part < 5; part++) text += all[random(all.length)]! + glue[random(glue.length)]!
    const once = redactor.text(text)
    assert.equal(redactor.text(once), once, JSON.stringify(text))
    assert.ok(!once.includes(LIVE), JSON.stringify(text))
  }
})

test('encoded and disguised forms are found', () => {
  for (const secret of [`token=${key('', 24)}`, key('ghp_', 36), LIVE, 'postgres://u:passw0rd@h']) {
    const encoded = {
      base64: Buffer.from(secret).toString('base64'),
      base64url: Buffer.from(`some words and ${secret}`).toString('base64url'),
      url: encodeURIComponent(secret),
      'full width': [...secret].map((c) => String.fromCodePoint(c.charCodeAt(0) + 0xfee0)).join(''),
      invisible: [...secret].join('\u200b'),
    }
    for (const [form, text] of Object.entries(encoded)) {
      const left = redactor.text(`x ${text} y`)
      assert.match(left, /\[REDACTED:/, `${form} of ${secret}: ${left}`)
    }
  }
  // Cyrillic А, К and І, which look like the Latin ones.
  assert.equal(withoutHashes(aws.replace('AKI', '\u0410\u041a\u0406')), '[REDACTED:cloud-key]')
})

test('JSON keeps its shape; values are redacted by their key, identity fields keep their address', () => {
  const before = {
    title: 'mail bob@example.org',
    email: 'bob@example.org',
    username: 'bob@example.org',
    password: 'hunter2',
    token_id: '0192a1b2',
    max_tokens: 500,
    nested: [{ api_key: ['abcdef'] }, '{"password":"hunter2"}'],
    untouched: 'plain',
  }
  const after = JSON.parse(JSON.stringify(redactor.value(before)).replaceAll(/:[0-9a-f]{8}\]/g, ']'))
  assert.deepEqual(after, {
    ...before,
    title: 'mail [REDACTED:contact]',
    password: '[REDACTED:assigned-secret]',
    nested: [{ api_key: ['[REDACTED:assigned-secret]'] }, '{"password":"[REDACTED:assigned-secret]"}'],
  })
  const clean = { a: ['plain', { b: 1 }] }
  assert.equal(redactor.value(clean), clean)
  assert.equal(redactor.value(before, { open: new Set(['password']), declared: new Set() }).password, 'hunter2')
})

test('a scanner says kind, number and first place, also across chunks and in UTF-16', () => {
  const filler = Buffer.from('interface Gi1/0/1\n'.repeat(20_000))
  const bytes = Buffer.concat([filler, Buffer.from(`${aws}\n`), filler, Buffer.from(`${aws}\npassword = hunter2\n`)])
  for (const size of [1_000_000, 65_536, 4_099]) {
    const scanner = createScanner(redactor)
    for (let at = 0; at < bytes.length; at += size) scanner.push(bytes.subarray(at, at + size))
    assert.deepEqual(scanner.end(), [
      { kind: 'cloud-key', count: 2, offset: filler.length },
      { kind: 'assigned-secret', count: 1, offset: bytes.length - 'hunter2\n'.length },
    ])
  }
  const wide = createScanner(redactor)
  wide.push(Buffer.from(`user ${aws}`, 'utf16le'))
  assert.deepEqual(wide.end(), [{ kind: 'cloud-key', count: 1, offset: 10 }])
})

const scanned = (bytes: Uint8Array, size = bytes.length) => {
  const scanner = createScanner(redactor)
  for (let at = 0; at < bytes.length; at += size) scanner.push(bytes.subarray(at, at + size))
  return scanner.end().map(({ kind, count, offset }) => [kind, count, offset])
}

const big = (text: string) => Buffer.from(text, 'utf16le').swap16()
/** The characters of these tests in GBK: no encoder of Node's writes it, so each is found by the decoder. */
const gbkBytes = new Map<string, number[]>()
{
  const decoder = new TextDecoder('gbk')
  for (let high = 0x81; high <= 0xfe; high++)
    for (let low = 0x40; low <= 0xfe; low++) {
      const char = decoder.decode(Uint8Array.of(high, low))
      if (char.length === 1 && !gbkBytes.has(char)) gbkBytes.set(char, [high, low])
    }
}
const gbk = (text: string) =>
  Buffer.from([...text].flatMap((char) => (char < '\x80' ? [char.charCodeAt(0)] : gbkBytes.get(char)!)))

const encodings: [name: string, encode: (text: string) => Buffer][] = [
  ['UTF-8', (text) => Buffer.from(text)],
  ['GBK', gbk],
  ['UTF-16', (text) => Buffer.from(`\ufeff${text}`, 'utf16le')],
  ['UTF-16, the other way round', (text) => big(`\ufeff${text}`)],
  // About half of such a text is zeros.
  ['UTF-16 without a mark', (text) => Buffer.from(`interface Gi1/0/1\n${text}`, 'utf16le')],
  ['UTF-16 without a mark, the other way round', (text) => big(`interface Gi1/0/1\n${text}`)],
]

for (const [name, encode] of encodings)
  test(`a scanner finds what Chinese words call a secret, and takes no other text for it (${name})`, () => {
    const secrets: [before: string, value: string][] = [
      ['密码：', 'hunter2'],
      ['管理员登录密码: ', 'hunter2'],
      ['口令＝', '芝麻开门吧'],
      ['密钥 = "', 'ab cd码'],
      ['"密码1": "', 'hunter2'],
      ['密码：　', '码农hunter2'],
      ['password：', 'hunter2'],
    ]
    for (const [before, value] of secrets) {
      const bytes = encode(`设备\n${before}${value}"\n`)
      const at = encode(`设备\n${before}`).length
      for (const size of [bytes.length, 1, 7])
        assert.deepEqual(scanned(bytes, size), [['assigned-secret', 1, at]], `${before} in pieces of ${size}`)
    }
    for (const text of [
      '密码：必填',
      '密码：\n',
      '请修改密码。',
      '密码策略：至少十二位',
      '密码：********',
      '密码：[REDACTED:assigned-secret:12345678]',
      '设备：核心交换机',
      'secretary：hunter2',
    ])
      assert.deepEqual(scanned(encode(`${text}\n`)), [], text)
  })

test('in a large file of two bytes a character a scanner counts each secret once, wherever it is cut', () => {
  for (const encode of [(text: string) => Buffer.from(text, 'utf16le'), big]) {
    const filler = '设备 interface\n'.repeat(12_000)
    const text = `\ufeff${filler}密码：hunter2\n${filler}password = hunter2\n${filler}口令：hunter2\n`
    const at = encode(text.slice(0, text.indexOf('hunter2'))).length
    for (const size of [text.length * 2, 65_536, 4_099])
      assert.deepEqual(scanned(encode(text), size), [['assigned-secret', 3, at]], `in pieces of ${size}`)
  }
})

test('a scanner takes bytes for a name in GBK as they are: of other characters they differ in what is case elsewhere', () => {
  for (const name of ['密码', '口令', '密钥'])
    for (let at = 0; at < 4; at++) {
      const bytes = gbk(`${name}:hunter2`)
      bytes[at]! ^= 0x20
      assert.deepEqual(scanned(bytes), [], bytes.toString('hex'))
    }
})

test('where a scanner cuts parts no value from its name', () => {
  const wide = Buffer.from('设备码'.repeat(20_000))
  const narrow = Buffer.alloc(180_000, 'x')
  for (const [filler, line] of [
    [wide, '密码：hunter2 '],
    [narrow, 'password = hunter2 '],
  ] as const) {
    const secret = Buffer.from(line)
    const at = secret.indexOf('hunter2')
    // What is pushed at once is cut 8,192 characters before its end, or up to 4,096 before that.
    for (const from of [8_192, 8_192 + 4_096])
      for (let shift = -40; shift <= 40; shift++) {
        const rest = Buffer.alloc(from + shift, 'y')
        const bytes = Buffer.concat([filler, Buffer.from(' '), secret, rest])
        assert.deepEqual(scanned(bytes), [['assigned-secret', 1, filler.length + 1 + at]], `${line} ${from + shift}`)
      }
  }
})

test('a scanner looks at the beginning of a large file, and costs nothing behind it', () => {
  const filler = Buffer.alloc(1_048_576, 'no shutdown\n')
  const scanner = createScanner(redactor)
  scanner.push(Buffer.from(`${aws}\n`))
  for (let at = 0; at < SCANNED_BYTES; at += filler.length) scanner.push(filler)
  scanner.push(Buffer.from(`\n${aws}\n`))
  assert.deepEqual(scanner.end(), [{ kind: 'cloud-key', count: 1, offset: 0 }])
})

test('the worst megabytes take time in proportion', () => {
  const units = [
    'a',
    '@',
    'a@',
    'eyJ',
    'eyJhbGciOi.',
    'ey',
    '-',
    '-----BEGIN PRIVATE KEY-----',
    'password',
    'password="',
    'password=\\"',
    'password: ',
  ]
  units.push(
    '://',
    '://a:',
    '1',
    '1 ',
    '+1',
    'Bearer ',
    'AKIA',
    'QUtJQQ',
    'sk-',
    '%41',
    '%',
    ' ',
    'Cookie: a=bbbbb; ',
    'DE89 ',
    '(1',
    '\\\\',
    'x{3',
    'IBAN',
    '\u200b',
  )
  for (const unit of units) {
    const text = unit.repeat(Math.ceil(1_048_576 / unit.length))
    const before = performance.now()
    redactor.text(text)
    const ms = performance.now() - before
    // Quadratic would be hours. The bound is wide, because other tests run beside this one.
    assert.ok(ms < 15_000, `${JSON.stringify(unit)} took ${ms} ms`)
  }
})

test('the worst megabytes of UTF-8 take a scanner time in proportion', () => {
  for (const unit of ['密码', '密码：', '密码："', '密码A', '密码\u3000', 'password：', 'passwordA', '：']) {
    const bytes = Buffer.from(unit.repeat(Math.ceil(1_048_576 / Buffer.byteLength(unit))))
    const before = performance.now()
    scanned(bytes, 65_536)
    const ms = performance.now() - before
    assert.ok(ms < 15_000, `${JSON.stringify(unit)} took ${ms} ms`)
  }
})

test('live secrets are the settings themselves, passwords in URLs, and keys of objects, but no plain word', () => {
  assert.deepEqual(
    liveSecrets([
      'a-secret-key-of-this-server',
      'postgres://writ:pass%40word1@db/writ',
      'postgres://u:postgres@db/x',
      '{"tok-12345678":"admin"}',
      'short',
    ]),
    ['a-secret-key-of-this-server', 'pass%40word1', 'pass@word1', 'tok-12345678'],
  )
})

test('lines that may be the beginning of a secret are known, and others are not held back', () => {
  const [begin, inside, end] = block.split('\n')
  assert.equal(mayGoOn(['a', begin!, inside!]), 2)
  assert.equal(mayGoOn([begin!, inside!, end!]), 0)
  assert.equal(mayGoOn(['a', 'password:']), 1)
  assert.equal(mayGoOn(['a', 'api_key', '', ' ']), 3)
  for (const line of ['Waiting for the switch:', 'tokenizer done', 'x = 1', '']) assert.equal(mayGoOn([line]), 0, line)
  assert.equal(mayGoOn([]), 0)
})

test('the worst files take time in proportion, and none is too deep', () => {
  const noText = '\x01\x02\x03\x04'
  const units: [name: string, unit: Buffer, mark?: string][] = [
    ['names without an end between bytes that are no text', Buffer.from(`${noText}pwd=`)],
    ['the same in UTF-8', Buffer.from(`${noText}密码：`)],
    ['the same in GBK', Buffer.concat([Buffer.from(noText), gbk('密码：')])],
    ['names in GBK', gbk('密码')],
    ['names and signs in GBK', gbk('密码：')],
    ['quotes in GBK', gbk('密码："')],
    ['spaces in GBK', gbk('　')],
    ['names in UTF-16', Buffer.from('密码', 'utf16le'), '\ufeff'],
    ['names and signs in UTF-16', Buffer.from('密码：', 'utf16le'), '\ufeff'],
    ['percent signs in UTF-16', Buffer.from('%41', 'utf16le')],
  ]
  for (const [name, unit, mark = ''] of units) {
    const bytes = Buffer.concat([Buffer.from(mark, 'utf16le'), Buffer.alloc(1_048_576, unit)])
    const before = performance.now()
    scanned(bytes, 65_536)
    const ms = performance.now() - before
    assert.ok(ms < 15_000, `${name} took ${ms} ms`)
  }
  assert.equal(scanned(Buffer.alloc(65_536, `${noText}pwd=`))[0]?.[0], 'assigned-secret')
})

test('no sentence of the log reads like the assignment of a secret: what it names would be taken out', () => {
  const rooms = path.join(import.meta.dirname, '../..')
  const sentences = globSync('**/*.ts', { cwd: rooms }).flatMap((file) =>
    [...readFileSync(path.join(rooms, file), 'utf8').matchAll(/action:[^\n]*?`([^`]+)`/g)].map(([, text = '']) =>
      text.replaceAll(/\$\{[^}]*\}/g, 'pipeline'),
    ),
  )
  assert.ok(sentences.length > 40, `${sentences.length} were found`)
  assert.deepEqual(
    sentences.filter((sentence) => redactor.text(sentence) !== sentence),
    [],
  )
})
