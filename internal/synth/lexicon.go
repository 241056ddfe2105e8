package synth

import "strings"

// lexicon holds the words of one language: by topic, and shared by all.
type lexicon struct {
	topics                        []topicWords
	nouns, verbs, adjectives      []string // shared by all topics
	firstNames, lastNames, places []string
	orgStems, orgSuffixes         []string
	syllables                     []string // names outside the lists are built from these
}

// topicWords are the words that speak for one topic.
type topicWords struct{ nouns, verbs, adjectives []string }

func words(s string) []string { return strings.Fields(s) }

// Topics are the labels of the documents, in label order.
var topics = []string{"finance", "food", "health", "sports", "technology", "travel"}

// english lists past-tense verbs. Some words stand in several topics, some
// names are places as well, some words are nouns and verbs: the ambiguity is wanted.
func english() *lexicon {
	return &lexicon{
		topics: []topicWords{
			{ // finance
				words("bank loan share market bond interest credit fund price profit tax budget debt investor dividend rate stock insurance mortgage trader currency inflation asset broker deposit merger account margin revenue ledger"),
				words("invested borrowed traded audited financed lent insured hedged raised cut bought sold"),
				words("financial bullish fiscal liquid costly solvent volatile taxable"),
			},
			{ // food
				words("soup bread recipe kitchen chef oven sauce noodle dish sugar menu plate pepper salad cheese butter onion restaurant flour spice dessert vinegar garlic grill stew cake waiter knife share stock"),
				words("cooked baked fried boiled tasted served roasted grilled chopped stirred peeled cut"),
				words("spicy fresh sweet salty crisp sour tender creamy"),
			},
			{ // health
				words("doctor patient hospital virus vaccine cell drug nurse surgery clinic heart fever therapy dose symptom blood lung diet tumor infection diagnosis ward allergy trial insulin pulse bandage recovery stress bone"),
				words("treated cured vaccinated diagnosed injected examined healed prescribed operated recovered rested tested"),
				words("medical chronic clinical healthy acute viral painful sterile"),
			},
			{ // sports
				words("match team goal coach player league court stadium ball race referee tournament champion medal striker keeper season trophy sprint penalty net fan club track injury field pass record transfer draw"),
				words("scored won lost kicked trained defended ran jumped passed tackled served raced"),
				words("athletic unbeaten fast olympic offensive defensive fit tied"),
			},
			{ // technology
				words("software chip network server code robot data cell virus screen battery cloud sensor laptop program algorithm startup keyboard browser database phone router patch record field trial processor password interface drone"),
				words("programmed coded upgraded installed hacked launched debugged tested patched encrypted streamed ran"),
				words("digital wireless virtual fast smart online secure automatic"),
			},
			{ // travel
				words("hotel flight airport ticket beach train visa tourist guide luggage island museum map tour passport cruise hostel bridge track temple mountain village harbor ferry souvenir suitcase lounge court platform cabin"),
				words("flew travelled visited booked boarded toured hiked sailed arrived departed explored landed"),
				words("scenic remote coastal foreign crowded sunny tropical ancient"),
			},
		},
		nouns:       words("report plan day week office people story meeting idea answer question friend letter morning group change result project problem work"),
		verbs:       words("said made found saw gave took wanted described planned reported changed discussed"),
		adjectives:  words("new big good old long small early recent famous strange"),
		firstNames:  words("Anna Ben Clara David Emma Frank Grace Henry Iris Jack Karen Leo Maria Nora Oscar Paul Rosa Sam Tina Victor"),
		lastNames:   words("Smith Brown Jordan Lincoln Chen Garcia Miller Paris Wilson Moore Taylor Houston Clark Lewis Young Walker Austin Wright Hill Green"),
		places:      words("London Paris Jordan Boston Berlin Austin Houston Lincoln Tokyo Madrid Oslo Vienna Lisbon Cairo Dublin Sydney Toronto Rome Athens Geneva"),
		orgStems:    words("Lincoln Apex Nova Global Summit Austin Union Delta Pioneer Boston Crown Orion Metro Liberty Atlas"),
		orgSuffixes: words("Group Institute Club Company University Agency Council Labs"),
		syllables:   words("ba ro mi ka len tor vin da sel ma ri no gar eth ol"),
	}
}

// chinese lists words without spaces between them; a name is a surname and one or two characters.
func chinese() *lexicon {
	return &lexicon{
		topics: []topicWords{
			{ // finance
				words("银行 贷款 股票 市场 债券 利息 信用 基金 价格 利润 税收 预算 债务 投资者 红利 汇率 保险 房贷 货币 通胀 资产 经纪人 存款 并购 账户 保证金 收入 账本 股份 指数"),
				words("投资 借入 交易 审计 融资 出借 承保 对冲 筹集 削减 买入 卖出"),
				words("金融 牛市 财政 流动 昂贵 稳健 波动 免税"),
			},
			{ // food
				words("汤 面包 菜谱 厨房 厨师 烤箱 酱油 面条 菜肴 白糖 菜单 盘子 辣椒 沙拉 奶酪 黄油 洋葱 餐厅 面粉 香料 甜点 米醋 大蒜 烤架 炖肉 蛋糕 服务员 刀 份额 火锅"),
				words("烹饪 烘烤 油炸 煮 品尝 端上 烤 切 搅拌 削皮 腌制 蒸"),
				words("麻辣 新鲜 香甜 咸 酥脆 酸 鲜嫩 浓郁"),
			},
			{ // health
				words("医生 病人 医院 病毒 疫苗 细胞 药物 护士 手术 诊所 心脏 发烧 疗法 剂量 症状 血液 肺 饮食 肿瘤 感染 诊断 病房 过敏 试验 胰岛素 脉搏 绷带 康复 压力 骨头"),
				words("治疗 治愈 接种 诊断 注射 检查 愈合 开药 手术 康复 休息 测试"),
				words("医学 慢性 临床 健康 急性 病毒性 疼痛 无菌"),
			},
			{ // sports
				words("比赛 球队 进球 教练 球员 联赛 球场 体育场 足球 赛跑 裁判 锦标赛 冠军 奖牌 前锋 门将 赛季 奖杯 短跑 点球 球网 球迷 俱乐部 跑道 伤病 场地 传球 记录 转会 平局"),
				words("得分 赢得 输掉 踢 训练 防守 奔跑 跳 传 抢断 发球 争夺"),
				words("运动 不败 快速 奥运 进攻 防守 强壮 并列"),
			},
			{ // technology
				words("软件 芯片 网络 服务器 代码 机器人 数据 细胞 病毒 屏幕 电池 云端 传感器 电脑 程序 算法 创业公司 键盘 浏览器 数据库 手机 路由器 补丁 记录 场地 试验 处理器 密码 接口 无人机"),
				words("编程 编写 升级 安装 破解 发布 调试 测试 修补 加密 直播 运行"),
				words("数字 无线 虚拟 快速 智能 在线 安全 自动"),
			},
			{ // travel
				words("酒店 航班 机场 车票 海滩 火车 签证 游客 导游 行李 海岛 博物馆 地图 旅行 护照 邮轮 旅馆 大桥 跑道 寺庙 高山 村庄 港口 渡轮 纪念品 箱子 休息室 球场 站台 船舱"),
				words("飞往 旅行 参观 预订 登上 游览 徒步 航行 到达 出发 探索 降落"),
				words("风景 遥远 海边 外国 拥挤 晴朗 热带 古老"),
			},
		},
		nouns:       words("报告 计划 日子 办公室 人们 故事 会议 主意 答案 问题 朋友 信件 早晨 小组 变化 结果 项目 难题 工作 消息"),
		verbs:       words("说明 制作 发现 看到 给出 采取 想要 描述 计划 报告 改变 讨论"),
		adjectives:  words("新 大 好 旧 长 小 早期 最近 著名 奇怪"),
		firstNames:  words("明 丽 伟 芳 强 敏 静 磊 洋 艳 勇 军 杰 娟 涛 超 霞 平 刚 玲"),
		lastNames:   words("王 李 张 刘 陈 杨 黄 赵 吴 周 徐 孙 马 朱 胡 林 高 金 江 安"),
		places:      words("北京 上海 广州 深圳 成都 杭州 南京 武汉 西安 重庆 天津 苏州 长沙 青岛 大连 厦门 昆明 金华 江门 安阳"),
		orgStems:    words("华兴 东方 北京 环球 新星 长江 上海 联合 远大 金山 高远 天海 星河 大众 和平"),
		orgSuffixes: words("集团 研究院 俱乐部 公司 大学 协会 委员会 实验室"),
		syllables:   words("天 海 文 宝 春 秋 雨 雪 国 志 建 家 子 思 若"),
	}
}
