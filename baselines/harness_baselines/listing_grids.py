"""What is said of the baselines for persons x segments: RAMer's table 1 (MEmoR)."""

from __future__ import annotations

from harness.specs import ModelSpec, Paper

_MEMOR = Paper(
    title="MEmoR: A Dataset for Multimodal Emotion Reasoning in Videos",
    authors="Guangyao Shen, Xin Wang, Xuguang Duan, Hongzhi Li, Wenwu Zhu",
    venue="ACM MM",
    year=2020,
    url="https://doi.org/10.1145/3394171.3413909",
)
_AMER_DEVIATIONS = (
    "Each distinct valid cell and one zero row are encoded, attention is one batched product per "
    "kind; the authors loop over samples, persons and segments and encode padding.",
    "Sequences are grids of one person whose last position asks; unaligned modalities lie side by "
    "side by position, and where one has none at the last, a zero row's encoding asks.",
    "Multi-label data: sigmoids and binary cross entropy stand in for the softmax.",
)

_FUSION_DEVIATIONS = (
    "A missing modality's vector is zero; the public code's sub-networks read zeros as features.",
    "Sequences: the mean of the recurrent states stands for the target segment's.",
    "Multi-label data: sigmoids and binary cross entropy stand in for the softmax.",
)
_DIALOGUE_DEVIATIONS = (
    "Faithfulness: own design before the network. How table 1 fed it MEmoR is not public: here "
    "cells with any modality are utterances, characters are speakers, and the loss is on the "
    "target's utterance alone, drawn by class instead of weighted.",
    "Each dialogue is read alone (packed); the authors' recurrent layers also read padding, so "
    "that scores depend on the batch (packed=false).",
    "Sequences are dialogues of one speaker whose answers are averaged, for their labels are the "
    "whole sequence's.",
)

GRIDS: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="amer",
        factory="harness_baselines.amer:Amer",
        summary="Attention between persons and over segments, with personality as an input",
        defaults="harness_baselines:amer.yaml",
        paper=_MEMOR,
        reported_as="amer",
        layouts=("grid", "sequence"),
        deviations=_AMER_DEVIATIONS,
    ),
    ModelSpec(
        name="amer-no-personality",
        factory="harness_baselines.amer:Amer",
        summary="AMER without its personality input",
        defaults="harness_baselines:amer_no_personality.yaml",
        paper=_MEMOR,
        reported_as="amer-no-personality",
        layouts=("grid", "sequence"),
        deviations=(
            "The authors' released code cannot run this row: here the personality encoder and its "
            "inputs are left out, and all attentions keep the temperature sqrt(4 D).",
            *_AMER_DEVIATIONS,
        ),
    ),
    ModelSpec(
        name="mdl",
        factory="harness_baselines.mdl:Mdl",
        summary="Feed-forward network on what the target person shows, and who they are",
        defaults="harness_baselines:mdl.yaml",
        paper=_MEMOR,
        reported_as="mdl",
        layouts=("grid", "sequence"),
        deviations=(
            "Faithfulness: own design. Neither code nor a description of this row is public; it is "
            "early fusion at the target cell on AMER's encoders, with AMER's recipe.",
            "Sequences: the mean over valid positions stands for the target cell.",
            "Multi-label data: sigmoids and binary cross entropy stand in for the softmax.",
        ),
        variants=(("context=mean", "Means over the person's segments and over others appended"),),
    ),
    ModelSpec(
        name="mdae",
        factory="harness_baselines.mdae:Mdae",
        summary="Deep autoencoder that rebuilds hidden modalities, with a classifier on its code",
        defaults="harness_baselines:mdae.yaml",
        paper=Paper(
            title="Multimodal Deep Learning",
            authors="Jiquan Ngiam, Aditya Khosla, Mingyu Kim, Juhan Nam, Honglak Lee, Andrew Y. Ng",
            venue="ICML",
            year=2011,
        ),
        reported_as="mdae",
        layouts=("grid", "sequence"),
        deviations=(
            "Faithfulness: own design. MEmoR's version of this row is not public; encoders and "
            "recipe are AMER's, the idea is the paper's.",
            "Joint back-propagation with rectified units stands in for pre-training by restricted "
            "Boltzmann machines, a small network for the linear support vector machine "
            "(two_stage=true: pre-training, then the classifier alone).",
            "A feature that is constant in training is centred only, not divided by its deviation.",
            "Sequences: the mean over valid positions stands for the target cell.",
            "Multi-label data: sigmoids and binary cross entropy stand in for the softmax.",
        ),
        variants=(("two_stage=true", "Autoencoder first, then its code is frozen"),),
    ),
    ModelSpec(
        name="bilstm-tfn",
        factory="harness_baselines.bilstm_tfn:BilstmTfn",
        summary="A BiLSTM per modality, then the outer product of all modalities",
        defaults="harness_baselines:bilstm_tfn.yaml",
        paper=Paper(
            title="Tensor Fusion Network for Multimodal Sentiment Analysis",
            authors="Amir Zadeh, Minghai Chen, Soujanya Poria, Erik Cambria, Louis-Philippe "
            "Morency",
            venue="EMNLP",
            year=2017,
            url="https://doi.org/10.18653/v1/D17-1115",
        ),
        reported_as="bilstm-tfn",
        layouts=("grid", "sequence"),
        deviations=(
            "Faithfulness: own design before the fusion. How table 1 read MEmoR is not public; "
            "here AMER's cell encoders and a BiLSTM over the target person's segments.",
            *_FUSION_DEVIATIONS,
        ),
        variants=(
            ("personality=mode", "Personality as a factor of its own in the fusion"),
            ("subnets=reference", "The public code's sub-networks, for sequences"),
        ),
    ),
    ModelSpec(
        name="bilstm-lmf",
        factory="harness_baselines.bilstm_lmf:BilstmLmf",
        summary="A BiLSTM per modality, then tensor fusion of low rank",
        defaults="harness_baselines:bilstm_lmf.yaml",
        paper=Paper(
            title="Efficient Low-rank Multimodal Fusion With Modality-Specific Factors",
            authors="Zhun Liu, Ying Shen, Varun Bharadhwaj Lakshminarasimhan, Paul Pu Liang, "
            "AmirAli Bagher Zadeh, Louis-Philippe Morency",
            venue="ACL",
            year=2018,
            url="https://doi.org/10.18653/v1/P18-1209",
        ),
        reported_as="bilstm-lmf",
        layouts=("grid", "sequence"),
        deviations=(
            "Faithfulness: own design before the fusion. How table 1 read MEmoR is not public; "
            "here AMER's cell encoders and a BiLSTM over the target person's segments.",
            "One learning rate for all parameters; the public codes give the factors their own, "
            "and one of them never trains the weights over the rank and the bias.",
            *_FUSION_DEVIATIONS,
        ),
        variants=(
            ("personality=mode", "Personality as a factor of its own in the fusion"),
            ("subnets=reference", "The public code's sub-networks, for sequences"),
        ),
    ),
    ModelSpec(
        name="dialoguegcn",
        factory="harness_baselines.dialoguegcn:DialogueGcn",
        summary="A graph between near utterances: who spoke to whom, before or after",
        defaults="harness_baselines:dialoguegcn.yaml",
        paper=Paper(
            title="DialogueGCN: A Graph Convolutional Neural Network for Emotion Recognition in "
            "Conversation",
            authors="Deepanway Ghosal, Navonil Majumder, Soujanya Poria, Niyati Chhaya, "
            "Alexander Gelbukh",
            venue="EMNLP-IJCNLP",
            year=2019,
            url="https://doi.org/10.18653/v1/D19-1015",
        ),
        reported_as="dialoguegcn",
        layouts=("grid", "sequence"),
        deviations=(
            *_DIALOGUE_DEVIATIONS,
            "Edge attention is the paper's bilinear form; the authors' code has weights by "
            "position (edge_attention=positional).",
            "No class weights, preset native included: the authors weight the loss by 1/frequency; "
            "MEmoR's protocol fixes a class-balanced sampler instead.",
        ),
        variants=(
            ("edge_attention=positional", "The authors' code"),
            ("direction=paper", "A vertex gathers from its neighbours, as the paper says"),
            ("packed=false", "Padding is read, as in the authors' code"),
        ),
    ),
    ModelSpec(
        name="dialoguecrn",
        factory="harness_baselines.dialoguecrn:DialogueCrn",
        summary="Reasoning in steps over the dialogue and over each speaker's own utterances",
        defaults="harness_baselines:dialoguecrn.yaml",
        paper=Paper(
            title="DialogueCRN: Contextual Reasoning Networks for Emotion Recognition in "
            "Conversations",
            authors="Dou Hu, Lingwei Wei, Xiaoyong Huai",
            venue="ACL-IJCNLP",
            year=2021,
            url="https://doi.org/10.18653/v1/2021.acl-long.547",
        ),
        reported_as="dialoguecrn",
        layouts=("grid", "sequence"),
        deviations=(
            *_DIALOGUE_DEVIATIONS,
            "The best epoch is the one with the best validation score; the authors' default "
            "selects on the test set.",
            "No class weights, preset native included: MEmoR's protocol fixes a class-balanced "
            "sampler instead. Patience is on the selecting score; the authors' code stops when "
            "neither weighted F1 nor the loss has improved.",
            "Multi-label data: the focal factor acts on each label's binary cross entropy.",
        ),
        variants=(("packed=false", "Padding is read, as in the authors' code"),),
    ),
)
