import type { FoundWords } from './found.ts'

/** How the server says that a task or a run ended, in Chinese. What handlers and scripts say stays as it is. */
export const endedZhCn: FoundWords = [
  // Times, places and requests to stop.
  [/^The attempt took longer than it may$/, '这次尝试超过了时限'],
  [/^The deadline passed before it began$/, '开始之前已过截止时间'],
  [/^The deadline passed while it waited$/, '等待期间已过截止时间'],
  [/^The deadline passed while it ran$/, '执行期间已过截止时间'],
  [/^Its workers were lost too often$/, '执行它的 worker 多次失联'],
  [/^Cancelled before it began$/, '开始之前已取消'],
  [/^Cancelled while it waited$/, '等待期间已取消'],
  [/^Cancelled while it ran$/, '执行期间已取消'],
  [/^Cancelled while it ran, and its worker was lost$/, '执行期间已取消，且 worker 已失联'],
  [/^Cancelled: (.+)$/s, '已取消：$1'],
  [/^Task (\S+), which had to complete first, did not$/, '须先完成的任务 $1 没有完成'],
  [/^Task (\S+) with the same unique key took its place$/, '唯一键相同的任务 $1 取代了它'],
  [/^No handler is called "(.+)" any more$/s, '处理器“$1”已不存在'],

  // What a handler gave, or asked for.
  [/^The result is not JSON$/, '结果不是 JSON'],
  [/^The result does not fit: (\S+) (?<rest>.+)$/s, '结果不符合约定：$1 $<rest>'],
  [/^The result has (\d+) bytes; at most (\d+)$/, '结果有 $1 字节，最多 $2 字节'],
  [/^The result of step "(.+)" is no JSON of at most 64 KiB$/s, '步骤“$1”的结果不是 64 KiB 以内的 JSON'],
  [
    /^(".*") is no name of a step: 1 to 100 characters, in one line$/s,
    '$1 不能作为步骤名：须为一行内的 1 到 100 个字符',
  ],
  [/^Step "(.+)" was no dispatch$/s, '步骤“$1”不是派发'],
  [/^The handler's process ended(?: \((.+?)\))?\.(?: (.+))?$/s, '处理器的进程已结束（$1）。$2'],

  [/^The result has (\d+) characters$/, '结果有 $1 个字符'],
  [/^The result of a step is not JSON$/, '步骤的结果不是 JSON'],
  [/^Whoever dispatched this task may not dispatch tasks any more$/, '派发此任务的人已无权派发任务'],
  [/^Task (\S+) was not dispatched by this one$/, '任务 $1 不是由此任务派发的'],
  [/^Task (\S+) waits until this one has ended$/, '任务 $1 要等此任务结束'],
  [/^This is no concurrency key$/, '这不是并发键'],
  [/^A pause needs an end$/, '暂停须有结束时间'],

  // Addresses.
  [/^no answer$/, '没有答复'],
  [/^(\S+) answered (\d+)$/, '$1 答复 $2'],
  [/^(\S+) answered (\d+): (.+)$/s, '$1 答复 $2：$3'],
  [/^The answer has more than (\d+) bytes$/, '答复超过 $1 字节'],
  [
    /^The number at (?<rest>result.*) would not keep all its digits: it goes into text, in quotes$/s,
    '$<rest> 处的数无法保留全部位数：请写成带引号的文本',
  ],
  [/^The answer is not JSON$/, '答复不是 JSON'],

  // Handlers that come with the server.
  [/^script_name is required$/, '必须给出 script_name'],
  [
    /^Scripts are off: set WRIT_SCRIPTS_DIR to the folder that holds them$/,
    '脚本未开启：请将 WRIT_SCRIPTS_DIR 设为存放脚本的文件夹',
  ],
  [/^script_name may hold letters, digits, _ and - only(.*)$/s, 'script_name 只能含字母、数字、_ 和 -$1'],
  [/^(.+) is a link out of the folder$/s, '$1 是指向文件夹之外的链接'],
  [/^There is no script (.+)$/s, '没有脚本 $1'],
  [/^The script (.+) was changed after the log had said what would run$/s, '脚本 $1 在日志写明将执行什么之后被修改'],
  [/^Script timed out after (\d+)s$/, '脚本在 $1 秒后超时'],
  [/^Script execution failed: (.+)$/s, '脚本执行失败：$1'],
  [/^The script's result is no file of at most (\d+) bytes$/, '脚本的结果不是 $1 字节以内的文件'],
  [/^The script's result is not JSON$/, '脚本的结果不是 JSON'],
  [/^Feishu application (\S+) is not registered$/, '飞书应用 $1 尚未登记'],
  [/^Invalid or expired app_hash: (.+)$/s, 'app_hash 无效或已过期：$1'],
  [
    /^No Feishu application: set FEISHU_APP_ID and FEISHU_APP_SECRET, or give app_id and app_secret$/,
    '没有飞书应用：请设置 FEISHU_APP_ID 和 FEISHU_APP_SECRET，或给出 app_id 和 app_secret',
  ],
  [/^Feishu could not be asked: (.+)$/s, '无法询问飞书：$1'],
  [/^Feishu application (\S+) has no secret here$/, '飞书应用 $1 在此没有密钥'],
  [/^Feishu gave no token: (.+)$/s, '飞书没有给出令牌：$1'],

  // Schedules, in the log.
  [/^it started nothing (\d+) times in a row, the last time (\S+)$/, '连续 $1 次未能启动任务，最后一次为 $2'],
  [/^its owner may not dispatch tasks here any more$/, '计划所用名义的人已无权在此派发任务'],

  // Runs of the other kind.
  [/^Run cancelled$/, '执行已取消'],
  [/^Run cancelled: (.+)$/s, '执行已取消：$1'],
  [/^Run execution timed out$/, '执行超时'],
  [/^Run failed: its workers were lost too often$/, '执行失败：worker 多次失联'],
  [/^Run failed: (.+)$/s, '执行失败：$1'],
]
