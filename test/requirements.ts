/**
 * What Writ has to do where it takes the place of an earlier system: the checks of the ticket and proof API (T) and of the
 * task gateway (P), as data. Each is cited by a
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

  P01: is('GET /ping answers without a login'),
  P02: is('GET /metrics answers text without a login'),
  P03: is('GET /metrics of a fresh server names all six documented metrics'),
  P04: is('a dispatch without a token is refused with the documented word'),
  P05: is('a dispatch with a wrong token is refused alike'),
  P06: is('a dispatch without taskData tells where it is missing'),
  P07: is('a task is accepted and has an id'),
  P08: is('a dispatch takes queue, retries and webhook'),
  P09: is('an accepted task is completed within seconds'),
  P10: is('the webhook of a task is called once, with the documented body'),
  P11: is('the detail of a task has payload, status and result'),
  P12: is('a synchronous dispatch answers with the result'),
  P13: is('script.execute without a name fails and says so'),
  P14: is('the example of the documents answers as it says'),
  P15: is('an unknown task is refused'),
  P17: is('a webhook inside of taskData counts when there is none beside it'),
  P18: is('the status of a task that is not there is unknown'),
  P19: is('the status of a task needs a token'),
  P20: is('a failing task is tried again with growing delays, then it is dead and a dead letter'),
  P21: is('a running task is processing'),
  P22: is('the webhook of a failed task is called once, with its error'),
  P23: is('dead letters are listed newest first, those of an unknown queue are none'),
  P24: is('a dead letter shows the payload that was dispatched'),
  P26: is('a dead letter is replayed as a new task'),
  P28: is('only an admin purges dead letters'),
  P29: is('a dev does not replay dead letters'),
  P30: is('log files are listed for who has a token'),
  P31: is('the end of a log file can be read'),
  P32: is('a log file outside of the folder, an unknown one and a wrong count are refused'),
  P34: is('too many dispatches of one task by one token are refused, another token goes on'),
  P35: is('an address that is not allowed is refused on every path'),
  P37: is('a synchronous forward answers what came back'),
  P39: is('a forward to anything but http is refused'),
  P40: fixes('the webhook of an asynchronous forward is called'),
  P42: is('a script that returns nothing, raises or takes too long ends as documented'),
  P43: fixes('a script outside of the folder is not run'),
  P44: fixes('an expired token is refused, and one of an account that is not active'),
  P45: is('a task whose server was killed is done when it is back'),
  P48: fixes('a task in a queue of any name is done'),
  P49: is('a token is shown once, and every dispatch and replay is on record'),
} as const satisfies Record<string, Requirement>

export type RequirementId = keyof typeof requirements
