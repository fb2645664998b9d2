import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type BundleCheck,
  bundleCheckCodes,
  bundleReasonCodes,
  bundleReasons,
  bundleRestCodes,
  fromUtf8,
  toUtf8,
  verifyBundle,
} from '@writ/tlog'
import i18next from 'i18next'
import { entryId, makeBundle, primitives, signed } from '../../../tlog/test/bundle.ts'
import { enMore } from '../words/en-more.ts'
import { zhCnMore } from '../words/zh-cn-more.ts'
import { checkText, reasonText } from './bundle-words.ts'

const words = { en: enMore.bundleCheck, 'zh-CN': zhCnMore.bundleCheck } as const
const valuesIn = (text: string) => new Set([...text.matchAll(/\{\{(\w+)\}\}/g)].map(([, name]) => name))

async function pageOf() {
  const page = i18next.createInstance()
  await page.init({
    resources: { en: { translation: enMore }, 'zh-CN': { translation: zhCnMore } },
    lng: 'en',
    fallbackLng: false,
    interpolation: { escapeValue: false },
  })
  return page
}

test('each code of a line has words in both languages, and they name the same values', () => {
  for (const code of bundleCheckCodes) {
    const [en, zh] = Object.values(words).map((table: Readonly<Record<string, string>>) =>
      code in table ? table[code] : table[`${code}_other`],
    )
    assert.ok(en && zh, code)
    assert.match(zh, /[\u4e00-\u9fff]/, code)
    assert.deepEqual(valuesIn(zh), valuesIn(en), code)
  }
  for (const table of Object.values(words))
    for (const key of Object.keys(table))
      assert.ok(
        (bundleCheckCodes as readonly string[]).includes(key.replace(/_(one|other)$/, '')),
        `nothing says ${key}`,
      )
})

test('each key that a bundle rests on has words in both languages', () => {
  for (const code of bundleRestCodes) {
    assert.match(zhCnMore.bundleRest[code], /[\u4e00-\u9fff]/, code)
    assert.deepEqual(valuesIn(zhCnMore.bundleRest[code]), valuesIn(enMore.bundleRest[code]), code)
  }
  assert.deepEqual(Object.keys(enMore.bundleRest), [...bundleRestCodes])
})

test('each reason why a bundle does not verify has words in both languages, with the values of its sentence', () => {
  for (const code of bundleReasonCodes) {
    const values = new Set([...bundleReasons[code].matchAll(/\{(\w+)\}/g)].map(([, name]) => name))
    assert.match(zhCnMore.bundleReason[code], /[\u4e00-\u9fff]/, code)
    // Written twice, because the words of pages would bring the whole verifier along.
    assert.equal(enMore.bundleReason[code], bundleReasons[code].replace(/\{(\w+)\}/g, '{{$1}}'), code)
    assert.deepEqual(valuesIn(enMore.bundleReason[code]), values, code)
    assert.deepEqual(valuesIn(zhCnMore.bundleReason[code]), values, code)
  }
  assert.deepEqual(Object.keys(enMore.bundleReason), [...bundleReasonCodes])
})

test('why a bundle does not verify is told in the language of the page', async () => {
  const page = await pageOf()
  const told = async (change: (files: Map<string, Uint8Array>) => void) => {
    const files = await makeBundle([{ act: 'ticket.created', res: 't' }])
    change(files)
    const { fault } = await verifyBundle(signed(files), primitives)
    return [
      fault!.reason,
      ...(['en', 'zh-CN'] as const).map((language) => reasonText(page.getFixedT(language), fault!)),
    ]
  }
  assert.deepEqual(await told((files) => files.delete('policy')), [
    'it is not in the bundle',
    'it is not in the bundle',
    '它不在证据包内',
  ])
  const payload = 'logs/project-0/payloads/0.json'
  assert.deepEqual(await told((files) => files.set(payload, toUtf8(`${fromUtf8(files.get(payload)!)} `))), [
    'it is not the payload that the entry commits to',
    'it is not the payload that the entry commits to',
    '它不是该条目所承诺的内容',
  ])
  // What a parser says stays as it says it.
  const [reason, en, zh] = await told((files) => files.set('bundle.json', toUtf8('{')))
  const said = /^it is not of its form \((.*JSON.*)\)$/.exec(reason!)?.[1]
  assert.deepEqual([en, zh], [reason, `不符合其格式（${said}）`])
})

test('what is verified of a bundle is told in the language of the page, with every value', async () => {
  const page = await pageOf()
  const events = [
    { act: 'ticket.created', res: 't', erasedBy: 1 },
    { act: 'payload.erased', res: entryId(0) },
  ]
  const { fault, checks } = await verifyBundle(signed(await makeBundle(events)), primitives)
  assert.equal(fault, undefined)
  const linesOf = (all: readonly BundleCheck[]): BundleCheck[] =>
    all.flatMap((one) => [one, ...linesOf(one.parts ?? [])])
  const told = (language: 'en' | 'zh-CN') => linesOf(checks).map((one) => checkText(page.getFixedT(language), one))
  const [en, zh] = [told('en'), told('zh-CN')]
  for (const line of zh) assert.match(line, /[\u4e00-\u9fff]/)
  for (const line of [...en, ...zh]) assert.doesNotMatch(line, /\{\{|bundleCheck/)
  assert.ok(en.includes('Payload of entry 0 (ticket.created): erased, see 1'), en.join('\n'))
  assert.ok(zh.includes('条目 0（ticket.created）的内容：已擦除，见 1'), zh.join('\n'))
  assert.ok(zh.some((line) => /^项目日志 .+：含 2 个条目的检查点$/.test(line)))

  const approved = { state: 'verified', what: '', code: 'approved_by_ssh' } as const
  const values = { decision: 'approved', subject: 'ticket', version: 2, approver: 'ana' }
  assert.equal(checkText(page.getFixedT('zh-CN'), { ...approved, values }), 'ana 批准了工单版本 2：用其 SSH 密钥签名')
  const judged = { state: 'verified', what: '', code: 'judged', values: { result: 'FAILED' } } as const
  assert.equal(checkText(page.getFixedT('zh-CN'), judged), '检查执行：失败')
})

test('what whoever made the bundle typed reorders nothing of what the page says', async () => {
  const { t } = await pageOf()
  const values = { count: 3, name: 'W1\u202e1W yb ton', time: '2026-11-28T15:03:47.000Z' }
  const said = checkText(t, { state: 'verified', what: '', code: 'cosigned', values })
  assert.ok(said.includes('W1[U+202E]1W yb ton'), said)
  // Nor does it pass for what it is not: Cyrillic letters, and characters that take no room.
  const alike = checkText(t, {
    state: 'verified',
    what: '',
    code: 'cosigned',
    values: { ...values, name: 'wіtn\u200bess\u{e0041}' },
  })
  assert.ok(alike.includes('w[U+0456]tn[U+200B]ess[U+E0041]'), alike)
  const fault = {
    code: 'LOG_KEY',
    path: 'x',
    reason: '',
    why: 'log_key_not_given',
    values: { origin: 'a\u2066b' },
  } as const
  assert.ok(reasonText(t, fault).includes('a[U+2066]b'))
})
