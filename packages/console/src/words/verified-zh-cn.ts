import type { FoundWords } from './found.ts'

/** What the server finds when it verifies a log, and why a file of handlers does not load, in Chinese. */
export const verifiedZhCn: FoundWords = [
  // The log as a whole.
  [/^the log has no checkpoint$/, '日志没有检查点'],
  [/^(\S+) has no checkpoint any more$/, '$1 的检查点已不存在'],
  [/^(\S+) is closed and nothing continues it$/, '$1 已关闭，且没有后续日志'],
  [/^(\d+) events have lost their place in the order of the log$/, '$1 个事件失去了在日志顺序中的位置'],
  [/^the run (\d+) has ended, and no event tells of it$/, '执行 #$1 已结束，却没有事件说明'],
  [/^the database names another key for (\S+) than its signer has$/, '数据库为 $1 记录的密钥与其签名者持有的不同'],
  [/^(\S+) was published, but the database knows nothing of it$/, '$1 已发布，数据库中却没有其记录'],
  [
    /^the log has (\d+) entries, but the database recorded a checkpoint of (\d+)$/,
    '日志有 $1 个条目，数据库记录的检查点却有 $2 个',
  ],
  [/^the log has (\d+) entries, but had (\d+) before$/, '日志有 $1 个条目，此前却有 $2 个'],
  [/^the log has (\d+) entries, and (\d+) were checked before$/, '日志有 $1 个条目，此前已核对 $2 个'],
  [/^(\S+) was closed with (\d+) entries, not (\d+)$/, '$1 关闭时有 $2 个条目，而不是 $3 个'],
  [
    /^(\S+) has (\d+) entries, the database (\d+) rows that have a place in it$/,
    '$1 有 $2 个条目，数据库中在其中有位置的记录有 $3 条',
  ],
  [/^(\S+) stands in the place of (\S+), but does not begin with its end$/, '$1 接替了 $2，却不是从其结尾开始'],
  [/^the kept checkpoint cannot be read$/, '保留的检查点无法读取'],
  [/^the kept checkpoint is of (\S+), which this project has no more$/, '保留的检查点属于 $1，此项目已没有该日志'],
  [/^the kept checkpoint: (?<rest>.+)$/s, '保留的检查点：$<rest>'],
  [/^the first (\d+) entries are not those that were seen before$/, '前 $1 个条目与此前所见不同'],
  [/^the (\d+) entries do not give the root that was signed$/, '$1 个条目算不出已签名的根哈希'],
  [/^the verification was aborted$/, '核验已中止'],

  // Dropped logs.
  [/^(\S+) was dropped, but nothing continues it$/, '$1 已丢弃，却没有后续日志'],
  [/^(\S+) was dropped, but its last checkpoint is gone$/, '$1 已丢弃，但其最后一个检查点已不存在'],
  [/^(\S+) was dropped, but its last checkpoint is not its own$/, '$1 已丢弃，但其最后一个检查点不是它自己的'],
  [/^(\S+) was dropped, but a kept checkpoint does not fit its end$/, '$1 已丢弃，但某个保留的检查点与其结尾不符'],
  [/^(\S+) was dropped, but (\S+) does not begin with its end$/, '$1 已丢弃，但 $2 不是从其结尾开始'],
  [/^(\S+) is gone, and no log\.dropped says why$/, '$1 已不存在，且没有 log.dropped 说明原因'],

  // Keys and signatures.
  [/^signed with a key that the log has replaced$/, '所用的签名密钥已被该日志更换'],
  [/^no key is given for the origin (.+)$/s, '没有给出来源 $1 的密钥'],
  [/^cosigned, but not signed by the log$/, '有联署，但没有日志自己的签名'],
  [/^no signature by a known key$/, '没有已知密钥的签名'],
  [/^the signature by (.+) \((\w+)\) is not valid$/s, '$1（$2）的签名无效'],
  [/^key change (\d+): (?<rest>.+)$/s, '密钥更换 $1：$<rest>'],

  // Entries, rows and files.
  [/^the log has entry (\d+), the database has no row for it$/, '日志有条目 $1，数据库中没有对应的记录'],
  [/^the entry bundle is gone$/, '条目文件已不存在'],
  [/^the row of entry (\d+) holds another entry than the log$/, '条目 $1 的记录与日志中的条目不同'],
  [/^the column (\S+) of entry (\d+) differs from the log$/, '条目 $2 的字段 $1 与日志不同'],
  [/^the event of entry (\d+) is not the one that the log commits to$/, '条目 $1 的事件不是日志所承诺的事件'],
  [
    /^the event of entry (\d+) is gone, and no payload\.erased in the log says why$/,
    '条目 $1 的事件已不存在，且日志中没有 payload.erased 说明原因',
  ],
  [/^entry (\d+) names an attestation that is gone$/, '条目 $1 所引用的声明已不存在'],
  [/^the attestation that entry (\d+) names has another payload$/, '条目 $1 所引用的声明内容不同'],
  [
    /^event (\d+) of the run (\S+) comes again where event (\d+) should$/,
    '执行 $2 的事件 $1 重复出现，此处应为事件 $3',
  ],
  [
    /^event (\d+) of the run (\S+) is not in the log, but event (\d+) is$/,
    '执行 $2 的事件 $1 不在日志中，事件 $3 却在',
  ],
  [/^(\S+) does not hold the line of entry (\d+) where it belongs$/, '$1 在应有的位置没有条目 $2 的那一行'],
  [/^(\S+) holds (\d+) bytes that no event explains$/, '$1 含有 $2 个没有事件对应的字节'],
  [/^entry (\d+) is missing from its bundle$/, '条目 $1 不在其条目文件中'],
  [/^entry (\d+) does not have the hash that was recorded for it$/, '条目 $1 的哈希与记录的不同'],
  [/^entry (\d+) is not the one that was hashed$/, '条目 $1 不是当初计算哈希的条目'],
  [/^entry (\d+) is not in the tree that was signed$/, '条目 $1 不在已签名的树中'],
  [/^entry (\d+): (?<rest>.+)$/s, '条目 $1：$<rest>'],
  [/^the bundle holds more, or other, than its (\d+) entries$/, '条目文件所含内容多于或不同于其 $1 个条目'],
  [/^hash (\d+) does not follow from entries (\d+) to (\d+)$/, '哈希 $1 不能由条目 $2 至 $3 得出'],
  [/^the tile has (\d+) bytes, not (\d+)$/, '该哈希块有 $1 字节，而不是 $2 字节'],
  [/^the hash tile (\S+) is gone or cut$/, '哈希块 $1 已不存在或被截断'],
  [/^(\S+) is missing$/, '缺少 $1'],

  // Policies of witnesses.
  [/^line (\d+) of the policy: (?<rest>.+)$/s, '策略第 $1 行：$<rest>'],
  [/^"none" is no name for a witness or a group$/, '“none”不能作为见证方或组的名称'],
  [/^"(.+)" is defined twice$/s, '“$1”定义了两次'],
  [/^the key of a log has type (\d+), not (\d+)$/, '日志密钥的类型应为 $1，而不是 $2'],
  [/^the key of a witness has type (\d+), not (\d+)$/, '见证方密钥的类型应为 $1，而不是 $2'],
  [/^this key is listed twice$/, '此密钥列出了两次'],
  [/^"(.+)" is not defined on a line above$/s, '“$1”未在上方的行中定义'],
  [/^a log is "(.+)"$/, '日志的写法为“$1”'],
  [/^a witness is "(.+)"$/, '见证方的写法为“$1”'],
  [/^a group is "(.+)"$/, '组的写法为“$1”'],
  [/^a group names each member once$/, '组中每个成员只能写一次'],
  [/^"(.+)" is a member of a group already$/s, '“$1”已是某个组的成员'],
  [/^a quorum is "(.+)"$/, '联署要求的写法为“$1”'],
  [/^a policy has one quorum$/, '策略只能有一个联署要求'],
  [
    /^a line begins with log, witness, group or quorum, not "(.*)"$/s,
    '每行须以 log、witness、group 或 quorum 开头，而不是“$1”',
  ],
  [/^a control character other than tab and newline$/, '含有制表符和换行以外的控制字符'],
  [/^the policy has no quorum line$/, '策略中没有 quorum 行'],
  [
    /^a group of (\d+) asks for any, all or 1 to (\d+) of them, not "(.*)"$/s,
    '$1 个成员的组可要求 any、all 或 1 到 $2 个，而不是“$3”',
  ],

  // Files of handlers.
  [/^handler (\S+) is in (\S+) already$/, '处理器 $1 已在 $2 中'],
  [/^handler (\S+) is in the file twice$/, '处理器 $1 在此文件中出现两次'],
  [/^handler (\S+) is there already, from (\S+)$/, '处理器 $1 已存在，来源为 $2'],
  [/^handler (\S+): names that begin with "test\." are for tests$/, '处理器 $1：以“test.”开头的名称仅供测试使用'],
  [/^handler (\S+) needs at least one attempt$/, '处理器 $1 至少须有一次尝试'],
  [/^handler (\S*): the schema of its input is none: (.*)$/s, '处理器 $1：其输入的 schema 无效：$2'],
  [/^handler (\S*): the schema of its output is none: (.*)$/s, '处理器 $1：其结果的 schema 无效：$2'],
  [/^handler (\S*): (\S+) is no field of a handler; there are (.+)$/s, '处理器 $1：处理器没有字段 $2；可用的有 $3'],
  [
    /^handler (\S*): (\S+) is no field of a handler; did you mean (\S+)\?$/,
    '处理器 $1：处理器没有字段 $2；是否为 $3？',
  ],
  [/^handler (\S*): (?<rest>.+)$/s, '处理器 $1：$<rest>'],
  [/^(\S+) must be (?<rest>.+)$/s, '$1 须为 $<rest>'],
  [/^the file exports no handler: an object with name and run$/, '此文件没有导出处理器：即带有 name 和 run 的对象'],
  [/^it did not load within (\d+) seconds$/, '未能在 $1 秒内加载'],
  [
    /^the folder holds (\d+) sources of (\d+) bytes; at most (\d+) of (\d+)$/,
    '文件夹有 $1 个源文件，共 $2 字节；最多 $3 个，共 $4 字节',
  ],

  // What does not work as it should.
  [/^([A-Z_]+) at entry (\d+) of (\S+): (?<rest>.+)$/s, '$3 的条目 $2（$1）：$<rest>'],
  [/^([A-Z_]+) of (\S+): (?<rest>.+)$/s, '$2（$1）：$<rest>'],
  [/^slow: it took (\d+) s to answer$/, '缓慢：$1 秒后才答复'],
  [
    /^its clock is (\d+) s ahead of the clock of this server; one of the two is wrong$/,
    '其时钟比本服务器快 $1 秒；两者必有一个不准',
  ],
  [
    /^its clock is (\d+) s behind the clock of this server; one of the two is wrong$/,
    '其时钟比本服务器慢 $1 秒；两者必有一个不准',
  ],
  [/^no answer for six seconds$/, '六秒内没有答复'],
]
