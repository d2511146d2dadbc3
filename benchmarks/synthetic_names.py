"""Names of people as hospitals in Korea, Japan and the West write them, as frequent as they are there.

Korean and Japanese names have the three groups of PS3.5 §6.2.1.2 (I.2, H.3): romanised, ideographic, phonetic. A few
are written as careless systems do: romanised only, or Hangul undivided in the first group.
"""

from __future__ import annotations

from itertools import accumulate
from random import Random
from typing import NamedTuple


class PersonName(NamedTuple):
    """The three groups of a PN value; empty when absent."""

    alphabetic: str
    ideographic: str = ""
    phonetic: str = ""

    @property
    def dicom_json(self) -> dict[str, str]:
        """The value as in DICOM JSON (PS3.18 F.2.2)."""
        names = zip(("Alphabetic", "Ideographic", "Phonetic"), self, strict=True)
        return {group: text for group, text in names if text}

    def __str__(self) -> str:
        return "=".join(self).rstrip("=")


def person_name(random: Random) -> PersonName:
    """A name: Korean 70 %, Western 20 %, Japanese 10 %."""
    where = random.random()
    if where < 0.7:
        return korean_name(random)
    return western_name(random) if where < 0.9 else japanese_name(random)


def korean_name(random: Random) -> PersonName:
    roman, hanja, hangul = random.choices(_KOREAN, cum_weights=_KOREAN_WEIGHTS)[0]
    syllables = random.choices(_SYLLABLES, cum_weights=_SYLLABLE_WEIGHTS, k=1 if random.random() < 0.03 else 2)
    given_hanja = "".join(syllable[1] for syllable in syllables)
    given_hangul = "".join(syllable[2] for syllable in syllables)
    style = random.random()
    if style < 0.05:
        return PersonName(hangul + given_hangul)
    joint = "-" if style < 0.15 else " " if style < 0.25 else ""
    alphabetic = f"{roman}^{joint.join(syllable[0] for syllable in syllables).capitalize()}"
    if style > 0.9:
        return PersonName(alphabetic)
    return PersonName(alphabetic, f"{hanja}^{given_hanja}", f"{hangul}^{given_hangul}")


def japanese_name(random: Random) -> PersonName:
    family = random.choices(_JAPANESE, cum_weights=_JAPANESE_WEIGHTS)[0]
    given = random.choice(_JAPANESE_GIVEN)
    return PersonName(*(f"{one}^{other}" for one, other in zip(family, given, strict=True)))


def western_name(random: Random) -> PersonName:
    family = random.choices(_WESTERN, cum_weights=_WESTERN_WEIGHTS)[0]
    name = f"{family}^{random.choices(_WESTERN_GIVEN, cum_weights=_WESTERN_GIVEN_WEIGHTS)[0]}"
    style = random.random()
    if style < 0.25:
        name += f"^{random.choice('ABCDEFGHJKLMPRSTW')}"
    return PersonName(name.upper() if style > 0.6 else name)


def _words(text: str) -> list[str]:
    return text.split()


def _table(text: str) -> list[tuple[str, str, str]]:
    words = [entry.split("/") for entry in text.split()]
    return [(word[0], word[1], word[2]) for word in words]


def _by_rank(count: int) -> list[float]:
    """Cumulative weights: the n-th is as frequent as 1 / (n + 2)."""
    return list(accumulate(1 / (rank + 2) for rank in range(count)))


_KOREAN = _table(
    """
    Kim/金/김 Lee/李/이 Park/朴/박 Choi/崔/최 Jeong/鄭/정 Kang/姜/강 Cho/趙/조 Yoon/尹/윤 Jang/張/장 Lim/林/임
    Han/韓/한 Oh/吳/오 Seo/徐/서 Shin/申/신 Kwon/權/권 Hwang/黃/황 Ahn/安/안 Song/宋/송 Ryu/柳/류 Jeon/全/전
    Hong/洪/홍 Ko/高/고 Moon/文/문 Yang/梁/양 Son/孫/손 Bae/裵/배 Baek/白/백 Heo/許/허 Yoo/劉/유 Nam/南/남
    Shim/沈/심 Noh/盧/노 Ha/河/하 Kwak/郭/곽 Sung/成/성 Cha/車/차 Joo/朱/주 Woo/禹/우 Koo/具/구 Na/羅/나
    Min/閔/민 Jin/陳/진 Ji/池/지 Eom/嚴/엄 Chae/蔡/채 Won/元/원 Cheon/千/천 Bang/方/방 Kong/孔/공 Hyun/玄/현
    Ham/咸/함 Byun/卞/변 Yeom/廉/염 Yeo/呂/여 Choo/秋/추 Do/都/도 So/蘇/소 Seok/石/석 Sun/宣/선 Seol/薛/설
    Ma/馬/마 Gil/吉/길 Namgung/南宮/남궁 Hwangbo/皇甫/황보 Sunwoo/鮮于/선우
    """
)
# Per cent of the population by census, then a tail.
_KOREAN_SHARES = (
    (21.5, 14.7, 8.4, 4.7, 4.3, 2.4, 2.1, 2.1, 2.0, 1.7, 1.6, 1.5, 1.5, 1.5, 1.4, 1.4, 1.4, 1.4, 1.3, 1.1, 1.1, 0.9)
    + (0.9, 0.9, 0.9, 0.8, 0.8, 0.7, 0.6, 0.6, 0.5, 0.5, 0.4)
    + (0.35,) * 20
)
_KOREAN_WEIGHTS = list(accumulate(_KOREAN_SHARES + (0.1,) * (len(_KOREAN) - len(_KOREAN_SHARES))))
_SYLLABLES = _table(
    """
    young/英/영 soo/秀/수 jung/貞/정 ji/智/지 min/敏/민 sung/成/성 hyun/賢/현 kyung/京/경 mi/美/미 jae/在/재
    sook/淑/숙 ho/浩/호 jin/眞/진 sang/相/상 soon/順/순 eun/恩/은 hee/姬/희 dong/東/동 woo/宇/우 jun/俊/준
    yong/龍/용 hye/惠/혜 tae/泰/태 ja/子/자 chul/哲/철 yeon/妍/연 won/源/원 ok/玉/옥 seung/勝/승 ki/基/기
    seok/錫/석 seo/瑞/서 yoon/允/윤 kwang/光/광 hoon/勳/훈 in/仁/인 hwan/煥/환 kyu/圭/규 bin/彬/빈 ha/夏/하
    ah/雅/아 ye/禮/예 joo/珠/주 nam/男/남 gil/吉/길 bok/福/복 chan/燦/찬 hyung/亨/형 sun/善/선 bong/鳳/봉
    do/道/도 ra/羅/라 geun/根/근 yu/裕/유 si/始/시 an/安/안 on/溫/온 rin/麟/린 dan/旦/단
    """
)
_SYLLABLE_WEIGHTS = _by_rank(len(_SYLLABLES))
_JAPANESE = _table(
    """
    Satou/佐藤/さとう Suzuki/鈴木/すずき Takahashi/高橋/たかはし Tanaka/田中/たなか Itou/伊藤/いとう
    Watanabe/渡辺/わたなべ Yamamoto/山本/やまもと Nakamura/中村/なかむら Kobayashi/小林/こばやし
    Katou/加藤/かとう Yoshida/吉田/よしだ Yamada/山田/やまだ Sasaki/佐々木/ささき Yamaguchi/山口/やまぐち
    Matsumoto/松本/まつもと Inoue/井上/いのうえ Kimura/木村/きむら Hayashi/林/はやし Saitou/斎藤/さいとう
    Shimizu/清水/しみず Yamazaki/山崎/やまざき Mori/森/もり Abe/阿部/あべ Ikeda/池田/いけだ
    Hashimoto/橋本/はしもと
    """
)
_JAPANESE_WEIGHTS = _by_rank(len(_JAPANESE))
_JAPANESE_GIVEN = _table(
    """
    Tarou/太郎/たろう Hanako/花子/はなこ Hiroshi/浩/ひろし Kenji/健二/けんじ Takashi/隆/たかし Yuuko/裕子/ゆうこ
    Keiko/恵子/けいこ Makoto/誠/まこと Naoki/直樹/なおき Daisuke/大輔/だいすけ Aoi/葵/あおい Sakura/桜/さくら
    Haruto/陽翔/はると Yui/結衣/ゆい Akira/明/あきら Yumi/由美/ゆみ Kazuo/和夫/かずお Masako/正子/まさこ
    Shigeru/茂/しげる Misaki/美咲/みさき Ren/蓮/れん
    """
)
_WESTERN = _words(
    """
    Smith Johnson Williams Brown Jones García Miller Davis Rodríguez Martínez Hernández López González Wilson
    Anderson Thomas Taylor Moore Jackson Martin Lee Pérez Thompson White Harris Sánchez Clark Ramírez Lewis
    Robinson Walker Young Allen King Wright Scott Torres Nguyen Hill Flores Green Adams Nelson Baker Hall Rivera
    Campbell Mitchell Carter Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Kowalski
    Nowak Novák Svensson Hansen O'Brien O'Neill McDonald Dubois Lefèvre Rossi Ferrari Jensen Ångström Đorđević
    Çelik Yılmaz
    """
)
_WESTERN_WEIGHTS = _by_rank(len(_WESTERN))
_WESTERN_GIVEN = _words(
    """
    James Mary Robert Patricia John Jennifer Michael Linda David Elizabeth William Barbara Richard Susan Joseph
    Jessica Thomas Sarah Charles Karen Christopher Lisa Daniel Nancy Matthew Betty Anthony Sandra Mark Margaret
    Donald Ashley Steven Kimberly Paul Emily Andrew Donna Joshua Michelle Jürgen Björn Søren Zoë François André
    José María Łukasz
    """
)
_WESTERN_GIVEN_WEIGHTS = _by_rank(len(_WESTERN_GIVEN))
