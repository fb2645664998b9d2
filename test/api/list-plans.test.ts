/** That a page of a list is read in the order of an index, and costs by what it shows: asked of the planner, because time says little. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listWebhooks } from '../../packages/server/src/channels/store.ts'
import { listSessions } from '../../packages/server/src/identity/store.ts'
import { listInvites, listPolicyChanges } from '../../packages/server/src/identity/store-projects.ts'
import { listTokens } from '../../packages/server/src/identity/store-tokens.ts'
import { listRuleSets } from '../../packages/server/src/kinds/proof/store.ts'
import { listHandlers as listAddresses } from '../../packages/server/src/kinds/task/http/store.ts'
import { listHandlers as listWorkerHandlers } from '../../packages/server/src/kinds/task/remote/store.ts'
import { listQueues } from '../../packages/server/src/kinds/task/store.ts'
import { inProject, type ListPart, type Tx } from '../../packages/server/src/platform/db/index.ts'
import { listArtifacts } from '../../packages/server/src/runs/store.ts'
import { listSchedules } from '../../packages/server/src/schedules/store.ts'
import { listApprovals, listComments } from '../../packages/server/src/tickets/store.ts'
import { listHolds } from '../../packages/server/src/tickets/store-holds.ts'
import { listeningOn, planOnSqlite } from '../servers/listening.ts'
import { onSqlite } from '../servers/stores.ts'

const A = '0190a000-0000-7000-8000-00000000000a'
const T = Date.UTC(2026, 0, 1)

const LISTS: Record<string, (tx: Tx, part: ListPart) => Promise<unknown>> = {
  comments: (tx, part) => listComments(tx, 't', part),
  approvals: (tx, part) => listApprovals(tx, 't', part),
  artifacts: (tx, part) => listArtifacts(tx, 'r', part),
  'tokens of the project': (tx, part) => listTokens(tx, null, part),
  'tokens of somebody': (tx, part) => listTokens(tx, 'u', part),
  invites: (tx, part) => listInvites(tx, A, part),
  'policy changes': listPolicyChanges,
  schedules: listSchedules,
  webhooks: listWebhooks,
  holds: listHolds,
  sessions: (tx, { after, ...part }) => listSessions(tx, 'u', T, { ...part, after: after && `${T} ${after}` }),
  'rule sets': (tx, { after, ...part }) => listRuleSets(tx, { ...part, after: after && `switch@${after}` }),
  queues: listQueues,
  addresses: listAddresses,
  'handlers of workers': listWorkerHandlers,
}

test('a page of a list is read in the order of an index, from its place on', async () => {
  await onSqlite(T, (db) =>
    inProject(A, () =>
      db.read(async (tx) => {
        for (const [name, list] of Object.entries(LISTS))
          for (const after of [undefined, '7']) {
            const listening = listeningOn(tx)
            await list(listening.tx, { limit: 100, skip: 0, after })
            const details = (await planOnSqlite(tx, listening.said()[0]!)).join('\n')
            assert.match(details, /^SEARCH \w+ USING (COVERING )?INDEX/, `${name}: ${details}`)
            // Of what is of the same millisecond.
            assert.doesNotMatch(details, /TEMP B-TREE(?! FOR LAST TERM)|^SCAN/m, `${name}: ${details}`)
          }
      }),
    ),
  )
})
