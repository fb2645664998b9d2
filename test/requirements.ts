/**
 * What Writ has to do where it takes the place of an earlier system: the checks of the ticket and proof API, as data. Each is cited by a
 * scenario in test/acceptance; coverage.test.ts fails for one that nobody cites. `fix` marks behaviour on which the earlier system did
 * the opposite, so the scenario shows the repaired one.
 */
export interface Requirement {
  readonly behaviour: string
  readonly fix?: true
}

const is = (behaviour: string): Requirement => ({ behaviour })
const fixes = (behaviour: string): Requirement => ({ behaviour, fix: true })

export const requirements = {
  T01: is('GET /health and GET / answer without a login'),
  T02: is('a login answers a bearer token'),
  T03: is('a wrong password and an unknown name are refused alike'),
  T04: is('GET /auth/me tells who I am'),
  T05: is('a missing, malformed or expired token is refused with 401'),
  T06: is('a deactivated account can neither go on nor log in'),
  T07: is('a registration refuses taken names, taken addresses and bad addresses'),
  T08: fixes('nobody registers as an administrator'),
  T09: is('an employee opens a ticket, which is submitted'),
  T10: is('a ticket without title, with an unknown asset or too long a title is refused'),
  T11: is('employees list their own tickets, admins all'),
  T13: is('the creator edits a ticket, others do not'),
  T14: fixes('nobody approves by editing the status'),
  T15: is('an admin approves, an employee does not'),
  T17: is('an asset is created once per serial number'),
  T18: is('assets are filtered, limited and looked up'),
  T19: is('the creator edits an asset, others do not; a taken serial number is refused'),
  T20: is('a proof run starts as pending, with empty manifests'),
  T21: is('an upload answers the SHA-256 of its bytes'),
  T22: is('a proof succeeds by itself within two seconds of its upload'),
  T23: is('a ticket is done when its proof succeeded'),
  T24: is('a proof without evidence fails and says why'),
  T25: is('manifests and report keep their documented shape'),
  T27: fixes('a file that does not parse fails a format check'),
  T29: fixes('an unknown script is refused'),
  T30: is('employees see runs on their own tickets only'),
  T31: fixes('nobody runs on a ticket of somebody else'),
  T32: is('an action run needs an approved ticket and an admin'),
  T34: fixes('a run that takes longer than its limit ends as timeout'),
  T35: is('uploads to runs of others, to unknown runs, without a file or over the limit are refused'),
  T36: fixes('nobody downloads evidence of others, and the attempt is recorded'),
  T38: fixes('two uploads of one name keep their own bytes'),
  T40: is('a deleted artifact is neither served nor listed'),
  T41: is('artifacts of others and unknown ones are refused'),
  T42: is('each action is one line with the twelve keys in the day file'),
  T43: is('each action is one readable line in the text file'),
  T45: is('an admin queries audit events by filter, an employee does not'),
  T48: fixes('a run that was running when the server died is not running for ever'),
} as const satisfies Record<string, Requirement>

export type RequirementId = keyof typeof requirements
