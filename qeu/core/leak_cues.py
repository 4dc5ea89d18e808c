"""Words by which a text gives an answer, names a choice or asks for one; for `leak.py`."""

import re

# Cues of a conclusion; and words after which a cue speaks about an answer ("the answer is short",
# 答えは何か, 答案是否) instead of giving one.
_ANSWER = "answer|result|solution|conclusion|translation|(?:correct|right) (?:label|choice|class)"
EN_ASIDE = (  # after "is": the sentence describes the answer
    r"(?:\W*(?:also|then|usually|often|always|likely|very|as|most|more|too|both|only|quite|not)\b)*"
    r"\W*(?:important|necessary|essential|useful|helpful|crucial|critical|vital|key|good|better|best"
    r"|wise|worth|possible|recommended|required|needed|advisable|clear|concise|correct|right"
    r"|accurate|complete|consistent|relevant|reasonable|plausible|short|long|simple|brief|easy"
    r"|based|found|obtained|given|derived|expressed|written|supported|determined|reached|stated"
    r"|presented|known|unknown|asked|expected|supposed|in|on|at|from|within|to be|what|how|where"
    r"|when|which|that|whether|something|not|likely|well|there|here|up|engaging|natural|fluent"
    r"|divided|multiplied|squared|rounded|checked|compared|even|odd|close|\w+er\sthan"
    r"|(?:an?|the|one|your|his|her|their)\s(?:[\w-]+,?\s){0,4}?(?:number|list|word|sentence"
    r"|paragraph|story|poem|essay|text|summary|response|matter|process|combination|same|way|kind"
    r"|type|string|integer|value|form|format|question|topic|task|goal|approach|method|step"
    r"|piece|one|set))\b"
)
EN_BLOCK = re.compile(  # before the cue, in the same clause: the sentence asks for the answer
    r"\b(?:if|whether|ensure|sure|so that|until|once|when|what|how|why|where|verify|check|determine"
    r"|decide|confirm|unless|before|as long as)\b[^,;:]{0,60}$",
    re.IGNORECASE,
)
STRONG = (
    re.compile(
        rf"\b(?:{_ANSWER})s?(?:\s(?:to|of|for)\s[^,.;]{{1,60}}?)?(?:\s(?:is|are|was|must be"
        rf"|would be|will be|equals|comes (?:out )?to)\b\s*:?|\s?[:=])(?!{EN_ASIDE})\W{{0,4}}\w",
        re.IGNORECASE,
    ),
    re.compile(
        rf"\b(?:translates (?:to|as|into)|is (?:classified|labell?ed|categori[sz]ed) as"
        rf"|belongs to the|falls (?:into|under) the)\b(?!{EN_ASIDE})\W{{0,4}}\w",
        re.IGNORECASE,
    ),
    re.compile(  # what a program says, as a value: not "will print 3 lines", "output 0 if"
        r"\b(?:will|would|must|should)\s(?:then\s)?(?:output|print|display|evaluate to)\s"
        r"(?:-?\d[\d.,]*|[\"'`\[{(\u201c\u2018][^\n]{1,60})(?=[.,;:!]?(?:$|\s(?!(?:if|when|unless|for"
        r"|where|as|on|in|to|times|or|\w+s)\b)))",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?:答え|正解|解答|回答|結果|結論|訳文|翻訳|合計|(?<![一-龥])解)(?:は|が|：|:)[「『]?"
        r"(?P<rest>[^「」。]{1,60}[」』]?[^。]{0,12})"
    ),
    re.compile(
        r"(?:答案|正解|结果|結果|结论|結論|译文|譯文|翻译|总数|总和|(?<![一-龥])解)"
        r"(?:就?是|应?[为為]|等[于於]|：|:)[“「]?(?P<rest>[^。]{1,60})"
    ),
)
WEAK = (
    re.compile(
        r"(?:^|[,;]\s*)(?:thus|therefore|hence|consequently|in conclusion|as a result)\b,?"
        r"\s(?!(?:you|your|creator|this|that|there|we|one|the (?:approach|method|(?:next |first )?"
        r"step|goal|task|focus|tone|reader|question|key|aim|plan|structure|style|order|problem))\b)"
        rf"[^.;]{{1,120}}?\b(?:is|are|was|were|equals|must be)\b(?!{EN_ASIDE}|\sto\b)\W{{0,4}}\w",
        re.IGNORECASE,
    ),
    re.compile(
        r"^(?:結論として|よって|したがって|従って|ゆえに|つまり|すなわち|結局|以上より|以上から|そのため)[、,]?"
        r"(?P<rest>.{1,80}(?:です|である|だ|となる|になる|なります|等しい|でした|だった|ない)[。.]?)$"
    ),
    re.compile(
        r"(?:因此|所以|因而|故而?|由此可见|综上(?:所述)?|總之|总之|可得|于是)[，,]?"
        r"(?P<rest>[^。]{1,60}?(?:等[于於]|就?是|为|為|得)[^。]{1,60})"
    ),
)
ASIDE = re.compile(
    r"何|なに|どう|どの|どれ|いくつ|いくら|誰|どこ|いつ|か[。？?]?$|べき|ように|こと|必要|重要|大切"
    r"|明確|簡潔|正確|ください|下さい|ましょう|求め|確認|考え|得られ|書[かきくい]|示[しすさ]|述べ|まとめ"
    r"|導|含[まむみん]|見つ|文中|本文|変わ|異な|短く|什么|甚[么麼]|如何|怎|哪|^否|是否|[吗嗎]|多少|需要|應"
    r"|应|必须|可以|简洁|准确|清晰|完整|合理|原文|基于|根据|关键|首先|考虑|确保|检查|理解|分析|要[点求先注]"
    r"|步骤|方法|目标|重点"
)
ZH_BLOCK = re.compile("(?:确保|检查|如果|判断|直到|使|看|让|为什么|もし|どんな)[^，。、]{0,12}$")

_OPTION = r"[(（「]?([A-EＡ-Ｅ])[)）」]?(?!(?<=A)\s[a-z])"  # not "A word"
CHOSEN = re.compile(
    rf"\b(?i:answer|choice|option|one)\s?(?i:is|must be|would be|:|=)\s?(?i:option\s)?{_OPTION}"
    rf"(?![\w'’])"
    rf"|\b(?i:choose|select|pick|go with|mark)\s(?i:option\s|answer\s|choice\s)?{_OPTION}"
    rf"(?=[.,;:!]|\s(?:as|because|since)\b|$)"
    rf"|\b(?i:option|choice|answer)\s{_OPTION}\s(?:is|must be|seems|fits)\s(?!not\b|in)"
    rf"|(?<![A-Za-z]){_OPTION}\s?(?:が|を)\s?(?:正解|正しい|選ぶ|選び|選択|答え)"
    rf"|(?:正解|答え|答案)(?:は|是|为|：|:)\s?{_OPTION}(?![\w])"
    rf"|(?<![不或])(?:选|選|选择|選擇){_OPTION}(?!\w)"
)
NAMED = re.compile(
    r"\b(?i:options?|choice|answer|alternative)\s[(（]?([A-E])[)）]?(?!\w)|(?<!\w)\(([A-E])\)"
    r"|(?:選択肢|选项|選項)\s?([A-EＡ-Ｅ])"
)
OPTION_ANSWER = re.compile(
    r"(?i:option\s|answer:?\s|選択肢|选项)?[(（]?([A-Ea-eＡ-Ｅ])[)）]?(?:[.:、）．:)]\s?.{0,80})?"
)
RULED_OUT = re.compile(
    r"(?:eliminat\w+|rule out|exclud\w+|not|whether|if|排除|不)\s?$", re.IGNORECASE
)

EDGES = re.compile(r"^(?:\W|(?i:the|an?)\s)+|\W+$")
# Answers too common to be noticed by themselves; 水 is in 水曜日, too.
COMMON = re.compile(
    r"(?i:yes|no|true|false|none|all|both|one|two|it|is|not|good|bad|[a-z])|はい|いいえ|あり|なし"
    r"|是的?|不是|否|对|.",
    re.DOTALL,
)
_OR = r"/|または|あるいは|もしくは|或者?|还是|還是|、"
OR_BEFORE = re.compile(rf"(?:\bor|{_OR})\s?$", re.IGNORECASE)
OR_AFTER = re.compile(rf"[\"'”’」]?,?\s?(?:or\b|か|{_OR})", re.IGNORECASE)

# What a question asks for: "What is X?", "Calculate X.", Xは何ですか, X是什么
ASKED = re.compile(
    r"\b(?:(?:what|who|which|where|when)(?:['’]s|\s+is|\s+are|\s+was|\s+were)|calculate|compute|find"
    r"|name|determine|evaluate)\s+(?:the\s+|an?\s+)?([^\s?.!,;:][^?.!,;:\n]{3,80}?)\s*(?:[?.!,;:\n]|$)",
    re.IGNORECASE,
)
TOLD_CJK = "(?:は|とは|が|是|为|為|等于|等於|在|＝|=)"
ASKED_CJK = re.compile(
    r"([^\s、。，？?！「」]{2,40}?)(?:(?:とは|は|って)(?:何|なん|なに|どこ|誰|だれ|いつ|いく|どれ|どの)"
    r"|を(?:求め|計算|答え)|(?:是|在|等于|等於)(?:什么|什麼|哪|谁|誰|多少|几|幾|何))"
)
