"""Words of a question that speak for its category, its subject, one answer or many; as data."""

import re


def _any(*words: str) -> re.Pattern[str]:
    return re.compile("|".join(words), re.IGNORECASE)


# In this order: the first that finds its words in the instruction wins.
CATEGORY_WORDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("translation", _any(r"\btranslat", "翻訳", "訳して", "英訳", "和訳", "翻译", "翻譯", "译成")),
    (
        "code",
        _any(
            r"\b(?:python|javascript|java|sql|html|css|regex|c\+\+)\b",
            r"\b(?:code|function|script|program|algorithm)\b.{0,40}\b(?:that|to|which|for)\b",
            "コードを",
            "プログラムを",
            "関数を書",
            "代码",
            "程序",
        ),
    ),
    ("summarization", _any(r"\bsummar", r"\btl;?dr", "要約", "まとめて", "总结", "摘要", "概括")),
    (
        "classification",
        _any(
            r"\bclassif",
            r"\bcategori[sz]e",
            r"\bsentiment\b",
            r"\blabel (?:the|this)",
            r"\bidentify (?:which|whether|the (?:type|tone|part))",
            "分類",
            "分类",
        ),
    ),
    (
        "rewriting",
        _any(
            r"\b(?:rewrite|rephrase|paraphrase|proofread|edit (?:the|this)|reword)\b",
            r"\b(?:correct|fix) (?:the|this|any)\b",
            r"\bconvert (?:the|this)\b",
            "書き換え",
            "言い換え",
            "添削",
            "改写",
            "修改",
        ),
    ),
    (
        "math",
        _any(
            r"\b(?:calculate|compute|solve|square root|equation|what is \d|how many .* are)\b",
            r"\d\s*[-+*/×÷]\s*\d",
            "計算",
            "方程式",
            "平方根",
            "计算",
            "求解",
        ),
    ),
    (
        "creative",
        _any(
            r"\b(?:story|poem|haiku|song|lyrics|slogan|tagline|fiction|limerick|screenplay"
            r"|dialogue|advertisement|joke)\b",
            r"\bimagine\b",
            "物語",
            "小説",
            "俳句",
            "詩を",
            "キャッチコピー",
            "スローガン",
            "故事",
            "诗",
            "广告",
        ),
    ),
    (
        "brainstorming",
        _any(
            r"\b(?:brainstorm|suggest|ideas?|list (?:of )?(?:\d+|some|ways|five|three|ten)"
            r"|come up with|give me (?:some|\d+))\b",
            r"\bgenerate (?:a list|\d+)",
            "アイデア",
            "案を",
            "提案",
            "列举",
            "建议",
            "点子",
        ),
    ),
)
FIELD_WORDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "computing",
        _any(
            r"\b(?:computer|software|python|java|sql|html|algorithm|internet|data ?base"
            r"|machine learning|ai)\b",
            "コンピュータ",
            "ソフト",
            "人工知能",
            "计算机",
            "软件",
        ),
    ),
    (
        "mathematics",
        _any(
            r"\b(?:equation|number|square root|triangle|probability|geometry|algebra"
            r"|fraction|average)\b",
            "数学",
            "方程式",
            "計算",
            "数学",
            "计算",
        ),
    ),
    (
        "science",
        _any(
            r"\b(?:physics|chemi\w+|biolog\w+|cells?|planets?|energy|species|animals?|plants?"
            r"|climate|atoms?|experiment|gravity|photosynthesis|evolution)\b",
            "科学",
            "物理",
            "化学",
            "生物",
            "惑星",
            "動物",
            "植物",
            "气候",
            "动物",
        ),
    ),
    (
        "history",
        _any(
            r"\b(?:histor\w+|war|century|empire|ancient|revolution|president|king|queen)\b",
            "歴史",
            "戦争",
            "時代",
            "世紀",
            "历史",
            "战争",
            "皇帝",
        ),
    ),
    (
        "geography",
        _any(
            r"\b(?:country|countries|capital of|city|cities|river|mountain|continent)\b",
            "首都",
            "国は",
            "都市",
            "山は",
            "川は",
            "城市",
            "国家",
        ),
    ),
    (
        "health",
        _any(
            r"\b(?:health|disease|diet|exercise|medicine|medical|doctor|symptoms?|sleep|stress"
            r"|smoking|vitamin)\b",
            "健康",
            "病気",
            "医",
            "運動",
            "喫煙",
            "疾病",
            "睡眠",
        ),
    ),
    (
        "business",
        _any(
            r"\b(?:business|company|marketing|customer|product|sales|finance|money|invest\w+"
            r"|economy|stock|resume|job)\b",
            "会社",
            "企業",
            "経済",
            "投資",
            "商品",
            "仕事",
            "公司",
            "市场",
            "投资",
        ),
    ),
    (
        "food",
        _any(
            r"\b(?:recipe|cook\w*|food|meal|ingredients?|dish|restaurant|crepes?|coffee|tea)\b",
            "料理",
            "レシピ",
            "食べ",
            "コーヒー",
            "食物",
            "菜",
        ),
    ),
    (
        "arts",
        _any(
            r"\b(?:music|movie|film|novel|painting|artist|song|book|author|literature|poem)\b",
            "音楽",
            "映画",
            "小説",
            "絵画",
            "作家",
            "音乐",
            "电影",
        ),
    ),
    (
        "sports",
        _any(
            r"\b(?:sports?|football|soccer|baseball|tennis|olympic\w*|basketball|golf)\b",
            "スポーツ",
            "野球",
            "サッカー",
            "テニス",
            "ゴルフ",
            "体育",
            "足球",
        ),
    ),
    (
        "language",
        _any(
            r"\b(?:grammar|sentence|word|verb|noun|synonyms?|vocabulary|language)\b",
            "文法",
            "単語",
            "言語",
            "言葉",
            "语法",
            "单词",
        ),
    ),
)
OPEN = _any(
    r"\b(?:opinion|discuss|explain|describe|why|how (?:do|can|should|to)|tips|best way|compare)\b",
    "どう思",
    "なぜ",
    "説明",
    "方法",
    "どうすれば",
    "为什么",
    "如何",
    "怎么",
    "介绍",
)
ONE_ANSWER = _any(
    r"\b(?:who|when|where|which|how (?:many|much|old|far|long|tall)|what (?:is|was|are) the"
    r"|what year|name the|is it true|does|did|is there)\b",
    "誰",
    "いつ",
    "どこ",
    "何年",
    "いくつ",
    "何人",
    "どれ",
    "ですか",
    "谁",
    "哪",
    "几",
    "多少",
)
