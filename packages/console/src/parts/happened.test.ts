import assert from 'node:assert/strict'
import { test } from 'node:test'
import { auditEvents } from '@writ/api'
import i18next from 'i18next'
import { en } from '../words/en.ts'
import { enMore } from '../words/en-more.ts'
import { zhCn } from '../words/zh-cn.ts'
import { zhCnMore } from '../words/zh-cn-more.ts'
import { happened, type Told } from './happened.ts'

async function speaker(lng: 'en' | 'zh'): Promise<(event: Told) => string> {
  const words = { en: { translation: { ...en, ...enMore } }, zh: { translation: { ...zhCn, ...zhCnMore } } }
  const i18n = i18next.createInstance()
  await i18n.init({ lng, fallbackLng: false, resources: words, interpolation: { escapeValue: false } })
  return (event) =>
    happened(
      event,
      (key, values) => String((i18n.t as unknown as (key: string, values?: object) => unknown)(key, values)),
      (key) => i18n.exists(key),
    )
}

test('an event is told in both languages with its own fields', async () => {
  const [english, chinese] = [await speaker('en'), await speaker('zh')]
  const approved: Told = {
    event_type: 'ticket.approved',
    action: 'Approved ticket: Replace: both',
    resource_type: 'ticket',
    resource_number: 3,
    details: { version: 2 },
  }
  assert.equal(english(approved), 'Approved version 2 of ticket #3: Replace: both')
  assert.equal(chinese(approved), '批准了工单 #3 的版本 2：Replace: both')
  const role: Told = { event_type: 'member.updated', action: 'Added member: ann', details: { role: 'ops' } }
  assert.equal(english(role), 'Gave a member the role Operations: ann')
  assert.equal(chinese(role), '将成员设为运维：ann')
  const task: Told = {
    event_type: 'run.failed',
    action: 'Task billing.sync: failed',
    resource_number: 9,
    details: { handler: 'billing.sync' },
  }
  assert.equal(english(task), 'Task #9 failed: billing.sync')
  assert.equal(chinese({ event_type: 'run.failed', resource_number: 9, details: null }), '执行 #9 未通过')
  const withdrawn: Told = {
    event_type: 'signing_key.rejected',
    action: 'Withdrew a signing key',
    details: { reason: 'lost' },
  }
  assert.equal(english(withdrawn), 'Withdrew a signing key: lost')
  assert.equal(chinese(withdrawn), '撤回了签名密钥：lost')
})

test('every event of a project has words, also for whom its fields are closed', async () => {
  for (const lng of ['en', 'zh'] as const) {
    const tell = await speaker(lng)
    for (const [event_type, log] of Object.entries(auditEvents)) {
      if (log === 'instance') continue
      const said = tell({ event_type })
      assert.notEqual(said, event_type)
      assert.doesNotMatch(said, /\{\{|undefined|null/, event_type)
    }
  }
})

test('what was erased says so', async () => {
  const erased: Told = { event_type: 'run.started', action: '[erased, see 12]', resource_number: 4, details: null }
  assert.equal((await speaker('en'))(erased), 'Run #4 started (its text was erased: see 12)')
  const elsewhere = { ...erased, action: '[erased, see 1/12]', shard: 0, erased_shard: 1 }
  assert.equal((await speaker('en'))(elsewhere), 'Run #4 started (its text was erased: see log 1 #12)')
})

test('an erasure names the log of the entry where that is another than its own', async () => {
  const erasing = (shard?: number): Told => ({
    event_type: 'payload.erased',
    shard: 1,
    details: { log_index: 12, ...(shard === undefined ? {} : { shard }) },
  })
  const english = await speaker('en')
  assert.equal(english(erasing()), 'Erased the text of entry 12')
  assert.equal(english(erasing(1)), 'Erased the text of entry 12')
  assert.equal(english(erasing(0)), 'Erased the text of entry log 0 #12')
})

test('an event without words is told as the server does, or by its type', async () => {
  const tell = await speaker('zh')
  assert.equal(tell({ event_type: 'comet.seen', action: 'Saw a comet' }), 'Saw a comet')
  assert.equal(tell({ event_type: 'comet.seen' }), 'comet.seen')
})
