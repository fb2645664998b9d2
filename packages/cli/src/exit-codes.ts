/** What the exit code of `writ` says. Scripts rely on these numbers: they never change meaning. */
export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  notAllowed: 3,
  waitingForApproval: 4,
  verificationFailed: 5,
  timeout: 124,
  interrupted: 130,
} as const

export const exitCodeHelp = `
Exit codes:
  0    done, and what was checked is good
  1    failed
  2    the command line is wrong, or what it gives: as it is, it is refused every time
  3    not logged in, or not allowed
  4    waiting for an approval
  5    a verification failed: bad evidence, a wrong digest, a damaged log
  124  it took longer than --timeout, or the run timed out
  130  interrupted with Ctrl-C`
