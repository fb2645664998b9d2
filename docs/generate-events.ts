/** Writes docs/events.md, its Chinese twin and docs/asyncapi.json from the vocabulary: `node docs/generate-events.ts`. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { Event, eventTypeOf, openGroups, projectEvents, ticketGroups } from '@writ/api'
import { eventMeanings } from './event-meanings.ts'

type Language = 'en' | 'zh-CN'

/** Where a page stands, below docs/. */
export const eventsFile = (language: Language): string => (language === 'en' ? 'events.md' : 'zh-CN/events.md')

const groupOf = (type: string) => type.split('.')[0]!

function seenBy(type: string, language: Language): string {
  const place = openGroups.includes(groupOf(type)) ? 0 : ticketGroups.includes(groupOf(type)) ? 1 : 2
  return language === 'en'
    ? ['everybody', 'those with a part in the ticket; ops, auditors, admins', 'auditors, admins'][place]!
    : ['所有成员', '工单相关人；ops、auditor、admin', 'auditor、admin'][place]!
}

/** The whole page. */
export function eventsPage(language: Language): string {
  const rows = projectEvents.map((type) => {
    // Complete by its type, which the list of types has lost.
    const meaning = eventMeanings[type as keyof typeof eventMeanings][language === 'en' ? 0 : 1]
    return `| \`${type}\` | ${meaning} | ${seenBy(type, language)} |`
  })
  return `${language === 'en' ? english : chinese}${rows.join('\n')}\n`
}

/** The AsyncAPI document: what is received, at a webhook and over the WebSocket. */
export function asyncApi() {
  const schema = JSON.parse(JSON.stringify(Event)) as object
  const message = (name: string, payload: object) => [name, { name, contentType: 'application/json', payload }]
  const say = (properties: object, required: string[]) => ({ type: 'object', properties, required })
  const events = { type: 'array', items: { type: 'string' } }
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Writ events',
      version: '1.0.0',
      description: 'Events of a project, as docs/events.md explains them.',
    },
    channels: {
      webhook: {
        address: null,
        description: 'POST to the url of a webhook, signed as Standard Webhooks 1.0 says.',
        messages: { event: { $ref: '#/components/messages/event' } },
      },
      socket: {
        address: '/api/v1/ws',
        description: 'A WebSocket.',
        messages: Object.fromEntries(
          ['socketEvent', 'connectionStatus', 'ping', 'pong', 'subscriptionConfirmed', 'error', 'command'].map(
            (name) => [name, { $ref: `#/components/messages/${name}` }],
          ),
        ),
      },
    },
    operations: {
      receiveWebhook: { action: 'receive', channel: { $ref: '#/channels/webhook' } },
      hear: {
        action: 'receive',
        channel: { $ref: '#/channels/socket' },
        messages: ['socketEvent', 'connectionStatus', 'ping', 'pong', 'subscriptionConfirmed', 'error'].map((name) => ({
          $ref: `#/channels/socket/messages/${name}`,
        })),
      },
      say: {
        action: 'send',
        channel: { $ref: '#/channels/socket' },
        messages: ['command', 'ping', 'pong'].map((name) => ({ $ref: `#/channels/socket/messages/${name}` })),
      },
    },
    components: {
      messages: Object.fromEntries([
        message('event', { $ref: '#/components/schemas/Event' }),
        message(
          'socketEvent',
          say({ type: { const: 'event' }, event: { $ref: '#/components/schemas/Event' } }, ['type', 'event']),
        ),
        message(
          'connectionStatus',
          say(
            {
              type: { const: 'connection:status' },
              status: { enum: ['connected', 'disconnected'] },
              timestamp: { type: 'string', format: 'date-time' },
              server_time: { type: 'string', format: 'date-time' },
              sequence: { type: 'string' },
              reason: { type: 'string' },
            },
            ['type', 'status', 'timestamp', 'server_time', 'sequence'],
          ),
        ),
        message(
          'ping',
          say({ type: { const: 'ping' }, timestamp: { type: 'string' }, sequence: { type: 'string' } }, ['type']),
        ),
        message('pong', say({ type: { const: 'pong' }, timestamp: { type: 'string' } }, ['type'])),
        message(
          'subscriptionConfirmed',
          say({ type: { const: 'subscription:confirmed' }, action: { type: 'string' }, events, except: events }, [
            'type',
            'action',
            'events',
          ]),
        ),
        message(
          'error',
          say({ type: { const: 'error' }, code: { type: 'string' }, message: { type: 'string' } }, [
            'type',
            'code',
            'message',
          ]),
        ),
        message(
          'command',
          say({ action: { enum: ['subscribe', 'unsubscribe', 'subscribe_all', 'pong'] }, events }, ['action']),
        ),
      ]),
      schemas: {
        Event: schema,
        EventType: { enum: projectEvents.map(eventTypeOf) },
      },
    },
  }
}

const english = `# Events

[简体中文](zh-CN/events.md) · generated by \`npm run generate\` · machine-readable: [asyncapi.json](asyncapi.json)

Whatever changes something appends an event to the log of its project, in the same transaction. The same events, in the same form and in
the order of the log, can be had in four ways:

| | for | resumes by |
|---|---|---|
| webhooks | other systems | retries for about a day, then \`replay\` |
| \`GET /api/v1/events\` with \`Accept: text/event-stream\` | programs and pages that watch | \`Last-Event-ID\` |
| \`GET /api/v1/events?after=…&wait=30\` | whoever can only poll | \`after\`: the \`last\` of the page before |
| \`/api/v1/ws\` | pages that change their mind about what they watch | \`?after=\` |

In TypeScript \`client.watch()\` reconnects and resumes by itself; on the command line there is \`writ watch\`.

## An event

CloudEvents 1.0, JSON. \`id\` is that of the log entry, \`sequence\` its place in the log: it sorts as text, has no gaps in the log itself, and
no event is ever placed before one that was shown. An event is shown once the log has given it its place, by default within 250 ms.

\`\`\`json
{
  "specversion": "1.0",
  "id": "0193b1c2-7d3e-7a10-8f00-5b2f6c1d9e01",
  "source": "https://writ.example.com/projects/default",
  "type": "dev.writ.run.completed.v1",
  "subject": "0193b1c2-6a00-7000-8000-3c5a1d2e4f60",
  "time": "2026-01-05T08:00:00.000Z",
  "datacontenttype": "application/json",
  "sequence": "00000-000000000042",
  "data": {
    "event_type": "run.completed", "action": "Run 12 completed", "resource_type": "run", "resource_id": "0193b1c2-6a00-…",
    "resource_number": 12, "run_id": "0193b1c2-6a00-…", "actor_kind": "system", "actor_id": null, "actor_number": null,
    "actor_username": null, "success": true, "error_message": null, "details": {}
  }
}
\`\`\`

Addresses and browsers of people are in no event that leaves.

## Receiving webhooks

\`writ webhook add https://hooks.example.com/writ --events 'run.*' ticket.approved\` shows a secret, once. Each message is a POST with
\`webhook-id\`, \`webhook-timestamp\` and \`webhook-signature\` as [Standard Webhooks](https://www.standardwebhooks.com) 1.0 says: verify it with
one of its libraries, over the bytes as they came, and refuse timestamps that are more than five minutes off.

- Answer 2xx within 15 seconds (\`WRIT_WEBHOOK_TIMEOUT_SECONDS\`), and work afterwards. Anything else is a failure.
- A failed message comes again after 5 s, 10 s, 20 s and so on, with jitter: 15 attempts in about 23 hours. \`Retry-After\`, in seconds or as a date, is kept to, up to an hour.
- A message may come twice: keep \`webhook-id\` for a day and ignore the second. Messages may overtake each other: \`sequence\` tells.
- 410 disables the webhook at once. It is also disabled when a message ran out of attempts and nothing was taken since its first. \`webhook.disabled\` tells. An address that tasks or schedules name as their \`callback\` is told again when one names it, also after it was deleted, but not one that a person disabled (422 \`TASK_CALLBACK_REFUSED\`); \`webhook.updated\` or \`webhook.created\` says who did.
- What a webhook listens to counts from its \`webhook.created\` on, and a change of it from its \`webhook.updated\` on, by their places in the log: it hears of what happened while it listened and of nothing else, however late the log is read. What happened before it was disabled and was not sent yet is a failed delivery, for \`replay\`.
- The address of a callback cannot be changed, nor can it listen to events: who names the old one would be told elsewhere. Disable it and name another one.
- The documented body of the dispatch door has the result of the task, which is read at each attempt. Where it cannot be read (\`RESULT_UNREADABLE\`, \`SECRETS_UNREADABLE\`) the attempt failed, and disables nothing.
- \`writ webhook replay <id> --state failed\` sends again what failed and was not sent again yet. Deliveries are kept for 30 days.
- After \`writ webhook rotate\` messages carry two signatures for 24 hours.
- Redirects 307 and 308 are followed, up to three, each checked; own headers go to the first origin only.

\`--format slack\` sends \`{"text": …}\` to Slack-compatible chats; \`--format feishu\` a card to a Feishu or Lark bot, signed if \`--bot-secret\` is given.
Both may answer 200 and refuse in the body: that is a failed attempt (\`FEISHU_19021\`, \`SLACK_CHANNEL_NOT_FOUND\`, or \`SLACK_REFUSED\` where they say it in a sentence) and is tried again.
\`writ webhook add mailto:ops@example.com --events run.failed\` sends e-mail, if the server has \`WRIT_SMTP_URL\` and \`WRIT_SMTP_FROM\`.
A password in an \`smtp://\` url goes to another machine under TLS only; \`?requireTLS=false\` at its end allows otherwise. A letter that some recipients were refused for
counts as delivered, and its delivery says which. One that the mail server did not take within \`WRIT_WEBHOOK_TIMEOUT_SECONDS\` and 15 more is a failed attempt.

## Server-sent events

\`\`\`
id: 00000-000000000042
event: run.completed
data: {"specversion":"1.0", …}
\`\`\`

\`types=run.*,ticket.approved\` and \`run_id=12\` narrow it. Every 15 seconds (\`WRIT_STREAM_HEARTBEAT_SECONDS\`) at the latest a comment comes, and an
\`id\` alone: a place up to which there was nothing for you. A reader that takes nothing for twice as long is closed. The stream ends within a
heartbeat when the session, token or membership does, or when its address may not connect any more (\`ALLOWED_IPS\`).

## WebSocket

Programs send their token in the \`Authorization\` header; pages of the same origin have their cookie. Messages are JSON, those of a client at most 16 KiB.

| server | |
|---|---|
| \`{"type":"connection:status","status":"connected","timestamp","server_time","sequence"}\` | first; \`disconnected\` with a \`reason\` is the last |
| \`{"type":"event","event":{…}}\` | one event |
| \`{"type":"ping","timestamp","sequence"}\` | every heartbeat, beside a ping frame; who answers neither is told \`disconnected\` and closed with 1008, where it takes that still |
| \`{"type":"subscription:confirmed","action","events"}\` | what is listened to from now on; \`except\` what of it is not |
| \`{"type":"error","code":"MESSAGE_INVALID","message"}\` | that was not understood |

| client | |
|---|---|
| \`{"action":"subscribe","events":["run.*"]}\` | these, and no longer everything; later ones add |
| \`{"action":"unsubscribe","events":["run.*"]}\` | these no more, also where everything is listened to |
| \`{"action":"subscribe_all"}\` | everything again |
| \`{"action":"pong"}\`, \`{"type":"ping"}\` | alive; asks for a \`pong\` |

## The events

Webhooks get every event of the project that they listen to. Who watches gets what they may see:

| event | says | watched by |
|---|---|---|
`

const chinese = `# 事件

[English](../events.md) · 由 \`npm run generate\` 生成 · 机器可读：[asyncapi.json](../asyncapi.json)

任何改动都会在同一事务中向项目日志追加一个事件。同样的事件、同样的格式、同样的日志顺序，有四种获取方式：

| | 适用 | 如何续传 |
|---|---|---|
| webhook | 其他系统 | 约一天内自动重试，之后用 \`replay\` |
| \`GET /api/v1/events\` 加 \`Accept: text/event-stream\` | 需要实时监听的程序和页面 | \`Last-Event-ID\` |
| \`GET /api/v1/events?after=…&wait=30\` | 只能轮询的客户端 | \`after\`：上一页的 \`last\` |
| \`/api/v1/ws\` | 需要随时改变订阅的页面 | \`?after=\` |

TypeScript 中 \`client.watch()\` 会自动重连并续传；命令行使用 \`writ watch\`。

## 事件格式

CloudEvents 1.0，JSON。\`id\` 是日志条目的 id，\`sequence\` 是它在日志中的位置：可按文本排序，已经给出的事件之前不会再插入新的事件。
事件在日志给出位置之后才可见，默认不超过 250 毫秒。

\`\`\`json
{
  "specversion": "1.0",
  "id": "0193b1c2-7d3e-7a10-8f00-5b2f6c1d9e01",
  "source": "https://writ.example.com/projects/default",
  "type": "dev.writ.run.completed.v1",
  "subject": "0193b1c2-6a00-7000-8000-3c5a1d2e4f60",
  "time": "2026-01-05T08:00:00.000Z",
  "datacontenttype": "application/json",
  "sequence": "00000-000000000042",
  "data": {
    "event_type": "run.completed", "action": "Run 12 completed", "resource_type": "run", "resource_id": "0193b1c2-6a00-…",
    "resource_number": 12, "run_id": "0193b1c2-6a00-…", "actor_kind": "system", "actor_id": null, "actor_number": null,
    "actor_username": null, "success": true, "error_message": null, "details": {}
  }
}
\`\`\`

对外的事件不含任何人的 IP 地址和浏览器信息。

## 接收 webhook

\`writ webhook add https://hooks.example.com/writ --events 'run.*' ticket.approved\` 会显示一次密钥。每条消息是带 \`webhook-id\`、\`webhook-timestamp\`、
\`webhook-signature\` 的 POST，遵循 [Standard Webhooks](https://www.standardwebhooks.com) 1.0：用其库对原始字节验签，并拒绝时间偏差超过五分钟的消息。

- 15 秒内（\`WRIT_WEBHOOK_TIMEOUT_SECONDS\`）回答 2xx，其余处理放到之后；其他情况都算失败。
- 失败后按 5 秒、10 秒、20 秒……加抖动重试，约 23 小时内共 15 次；遵守 \`Retry-After\`（秒数或日期），最长一小时。
- 消息可能重复：保留一天的 \`webhook-id\`，忽略重复；消息可能乱序：以 \`sequence\` 为准。
- 410 立即停用；某条消息用尽次数且期间没有任何成功，也会停用，并产生 \`webhook.disabled\`。任务或计划用作 \`callback\` 的地址再次被指定时会重新启用，删除之后也是如此，但由人停用的除外（422 \`TASK_CALLBACK_REFUSED\`）；\`webhook.updated\` 或 \`webhook.created\` 说明是谁。
- webhook 监听的内容从它的 \`webhook.created\` 起算，改动从 \`webhook.updated\` 起算，以它们在日志中的位置为准：不论日志多晚才被读到，它只会收到监听期间发生的事。停用之前发生而尚未发送的，记为失败的投递，可用 \`replay\` 重发。
- 回调的地址不能更改，回调也不能监听事件：否则指定旧地址的任务会被告知到别处。请停用它，再指定新的地址。
- dispatch 接口文档所述的正文含任务结果，每次尝试时读取；无法读取时（\`RESULT_UNREADABLE\`、\`SECRETS_UNREADABLE\`）该次尝试算失败，但不会因此停用。
- \`writ webhook replay <id> --state failed\` 重发失败且尚未重发过的投递；投递记录保留 30 天。
- \`writ webhook rotate\` 之后 24 小时内，消息带新旧两个签名。
- 只跟随 307 和 308 重定向，最多三次，每次重新检查目标；自定义头只发给最初的源。

\`--format slack\` 向兼容 Slack 的聊天发送 \`{"text": …}\`；\`--format feishu\` 向飞书或 Lark 机器人发送卡片，给出 \`--bot-secret\` 时带签名。
两者可能以 200 回答却在正文中拒绝：这算作失败的尝试（\`FEISHU_19021\`、\`SLACK_CHANNEL_NOT_FOUND\`，以句子说明时为 \`SLACK_REFUSED\`），会重试。
\`writ webhook add mailto:ops@example.com --events run.failed\` 发送邮件，需配置 \`WRIT_SMTP_URL\` 和 \`WRIT_SMTP_FROM\`。\`smtp://\` 地址中的密码只在 TLS 下发往其他主机，地址末尾的 \`?requireTLS=false\` 可放宽；部分收件人被拒的邮件视为已投递，投递记录注明是哪些；邮件服务器在 \`WRIT_WEBHOOK_TIMEOUT_SECONDS\` 加 15 秒内没有收下的，算一次失败的尝试。

## 服务器推送（SSE）

\`\`\`
id: 00000-000000000042
event: run.completed
data: {"specversion":"1.0", …}
\`\`\`

用 \`types=run.*,ticket.approved\` 和 \`run_id=12\` 缩小范围。至多每 15 秒（\`WRIT_STREAM_HEARTBEAT_SECONDS\`）会有一条注释和单独的 \`id\`，表示到此为止没有你可见的事件。
两倍于此的时间内不读取数据的客户端会被断开。会话、令牌或成员资格失效后，或其地址不再允许连接（\`ALLOWED_IPS\`）时，流在一次心跳内结束。

## WebSocket

程序在 \`Authorization\` 头中带令牌，同源页面使用 cookie。消息为 JSON，客户端的消息不超过 16 KiB。

| 服务器 | |
|---|---|
| \`{"type":"connection:status","status":"connected","timestamp","server_time","sequence"}\` | 第一条；最后一条为 \`disconnected\` 并带 \`reason\` |
| \`{"type":"event","event":{…}}\` | 一个事件 |
| \`{"type":"ping","timestamp","sequence"}\` | 每次心跳一条，另有 ping 帧；两者都不回应的连接会收到 \`disconnected\`（若仍可送达）并以 1008 关闭 |
| \`{"type":"subscription:confirmed","action","events"}\` | 从现在起监听的内容；\`except\` 为其中除外的内容 |
| \`{"type":"error","code":"MESSAGE_INVALID","message"}\` | 消息无法理解 |

| 客户端 | |
|---|---|
| \`{"action":"subscribe","events":["run.*"]}\` | 只听这些，不再听全部；之后的会累加 |
| \`{"action":"unsubscribe","events":["run.*"]}\` | 不再听这些，监听全部时亦然 |
| \`{"action":"subscribe_all"}\` | 恢复听全部 |
| \`{"action":"pong"}\`、\`{"type":"ping"}\` | 表示仍在线；请求一条 \`pong\` |

## 事件一览

webhook 会收到其监听的全部项目事件；监听者只能看到自己有权看到的：

| 事件 | 含义 | 谁能监听 |
|---|---|---|
`

if (import.meta.main) {
  for (const language of ['en', 'zh-CN'] as const)
    writeFileSync(path.join(import.meta.dirname, eventsFile(language)), eventsPage(language))
  writeFileSync(path.join(import.meta.dirname, 'asyncapi.json'), `${JSON.stringify(asyncApi(), null, 1)}\n`)
}
