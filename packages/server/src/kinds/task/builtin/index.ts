/** Handlers that every server has. */
import type { Clock } from '../../../platform/clock.ts'
import type { EgressOf } from '../../../platform/egress.ts'
import type { Feishu } from '../feishu/feishu.ts'
import type { Handler } from '../handler.ts'
import type { Scripts } from '../script/scripts.ts'
import { feishuGetToken, feishuSetToken } from './feishu.ts'
import { proxyForward, proxyMultiForward } from './forward.ts'
import { demo, ping } from './ping.ts'
import { scriptExecute } from './script.ts'

export const builtinHandlers = (on: {
  clock: Clock
  egressOf: EgressOf
  feishu: Feishu
  scripts: Scripts | null
  scriptLimits: { timeoutSeconds: number; concurrent: number }
}): Handler[] => [
  ping,
  demo,
  proxyForward(on.egressOf, on.clock.now),
  proxyMultiForward(on.egressOf, on.clock.now),
  scriptExecute(on.scripts, on.scriptLimits),
  feishuGetToken(on.feishu),
  feishuSetToken(on.feishu),
]
